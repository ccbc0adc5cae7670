"""The findings as one self-contained page: it asks no other host for anything."""

from collections import defaultdict
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from string import Template

from greengrocer.datachecks.findings import Crossing, Findings
from greengrocer.datachecks.groups import Groups
from greengrocer.datachecks.hold_out import HoldOut
from greengrocer.datachecks.problems import Problem, Severity
from greengrocer.datachecks.report.markup import class_name, section, text
from greengrocer.datachecks.report.sheets import Sheets
from greengrocer.datachecks.report.steps import Steps
from greengrocer.datasets.dataset import LabelledImage
from greengrocer.errors import UsageError
from greengrocer.regular_files import write_whole

PAGE = "index.html"
CLEAN = (
    '<section><p class="lead">Nothing to do: no duplicate and no suspect was found.</p></section>'
)


def write_report(
    directory: Path,
    root: Path,
    images: Sequence[LabelledImage],
    classes: Sequence[str],
    findings: Findings,
    groups: Groups,
    chosen: HoldOut,
    on_disk: Sequence[Problem] = (),
    archive: Path | None = None,
) -> Path:
    """Write the page into ``directory``, which is made where it is missing; returns its path.

    ``root`` is the folder that was checked, or where the ``archive`` that was checked is unpacked,
    and ``on_disk`` what ``find_problems`` found there. The page holds its images. Raises UsageError
    where it cannot be written.
    """
    page = directory / PAGE
    try:
        html = render(root, images, classes, findings, groups, chosen, on_disk, archive)
        directory.mkdir(parents=True, exist_ok=True)
        write_whole(page, html)
    except OSError as error:
        raise UsageError(f"the report {page} cannot be written: {error.strerror}") from error
    return page


def render(
    root: Path,
    images: Sequence[LabelledImage],
    classes: Sequence[str],
    findings: Findings,
    groups: Groups,
    chosen: HoldOut,
    on_disk: Sequence[Problem] = (),
    archive: Path | None = None,
) -> str:
    """The page as HTML, with every style and image inside it."""
    label_of = {image.path: image.label for image in images}
    sheets = Sheets(root, classes, label_of, Steps(root, images, classes, archive))
    parts = [*_files(on_disk), *sheets.sections(findings)] or [CLEAN]
    parts.append(_held_out(images, classes, groups, chosen))
    template = Template((files(__package__) / "page.html").read_text(encoding="utf-8"))
    return template.substitute(
        name=text((archive or root).resolve().name or str(root)),
        steps=_how(root, archive),
        images=f"{len(images):,}",
        classes=f"{len({image.label for image in images}):,}",
        tiles=_tiles(findings),
        body="\n".join(parts),
    )


def _how(root: Path, archive: Path | None) -> str:
    """How the steps are taken, as HTML."""
    if archive is not None:
        return f"Change the archive {text(archive.name)} as the cards say, and check it again."
    return (
        f"A click selects a command. Type it in the folder {text(str(root.resolve()))}; rm deletes "
        "a file for good."
    )


def _files(on_disk: Sequence[Problem]) -> list[str]:
    """What is left out, or wrong with files and folders; nothing where nothing is."""
    serious = [each for each in on_disk if each.severity is not Severity.NOTE]
    if not serious:
        return []
    cards = "".join(_problem(each) for each in serious)
    lead = (
        "These files and folders have no image below: they do not count, or not as you may think."
    )
    body = f'<ul class="cards">{cards}</ul>'
    return [section("files", "Files and folders", len(serious), lead, body)]


def _problem(problem: Problem) -> str:
    items = "".join(f'<li class="path">{text(item)}</li>' for item in problem.items)
    todo = f"<p>To do: {text(problem.todo)}.</p>" if problem.todo else ""
    listed = f"<details><summary>which</summary><ul>{items}</ul></details>" if items else ""
    badge = f'<span class="badge">{text(problem.severity.value)}</span>'
    return f'<li class="card"><p>{badge} {text(problem.text)}</p>{listed}{todo}</li>'


def _tiles(findings: Findings) -> str:
    """The counts, each a link to its section."""
    crossings = [each.crossing for each in findings.duplicates]
    counts = (
        ("leaks", "in two splits", crossings.count(Crossing.SPLITS)),
        ("contradictions", "with two labels", crossings.count(Crossing.CLASSES)),
        ("labels", "labels to look at", len(findings.wrong_labels)),
        ("duplicates", "duplicates in a class", crossings.count(Crossing.NOTHING)),
        ("flaws", "images that teach little", len(findings.flaws)),
        ("scenes", "classes of one scene", len(findings.one_scenes)),
    )
    return "".join(_tile(*each) for each in counts)


def _tile(anchor: str, words: str, count: int) -> str:
    inside = f"<b>{count:,}</b> {words}"
    if not count:
        return f'<li class="tile none">{inside}</li>'
    return f'<li class="tile"><a href="#{anchor}">{inside}</a></li>'


def _held_out(
    images: Sequence[LabelledImage], classes: Sequence[str], groups: Groups, chosen: HoldOut
) -> str:
    """The table of the hold-out: images, groups and what is held out of each class."""
    number: dict[int, list[int]] = defaultdict(list)
    for index, image in enumerate(images):
        number[image.label].append(index)
    rows = []
    for label, own in sorted(number.items()):
        held = sum(chosen.held_out[index] for index in own)
        inside = len({groups.of[index] for index in own})
        note = "all one group: on one side only" if label in chosen.one_sided else ""
        rows.append(
            f'<tr><th scope="row">{class_name(classes[label])}</th><td>{len(own):,}</td>'
            f"<td>{inside:,}</td><td>{held:,}</td><td>{100 * held / len(own):.0f} %</td>"
            f'<td class="note">{note}</td></tr>'
        )
    heads = ("class", "images", "groups", "held out", "share", "")
    head = "".join(f'<th scope="col">{each}</th>' for each in heads)
    return (
        '<section aria-labelledby="held"><h2 id="held">What is held out</h2><p class="lead">'
        f"{sum(chosen.held_out):,} of {len(images):,} images, in whole groups: near-duplicates, "
        "bursts and scenes stay on one side. The choice depends on what is in the files, so it "
        "stays when others come or go.</p>"
        '<div class="scroll" role="region" aria-label="What is held out of each class" '
        f'tabindex="0"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'
        "</div></section>"
    )
