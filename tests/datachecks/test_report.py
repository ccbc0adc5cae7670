"""The page holds everything, escapes every name, and its commands do what they say."""

import html
import re
import subprocess
from pathlib import Path

import pytest

from greengrocer.datachecks.findings import (
    Copy,
    Crossing,
    Duplicate,
    Findings,
    Flaw,
    FlawKind,
    OneScene,
    WrongLabel,
)
from greengrocer.datachecks.groups import Groups
from greengrocer.datachecks.hold_out import hold_out
from greengrocer.datachecks.report.page import render, write_report
from greengrocer.datachecks.report.sheets import MOST
from greengrocer.datasets.dataset import LabelledImage
from greengrocer.errors import UsageError
from support.chromium import chromium
from support.make_images import encoded, photo

CLASSES = ("<i>figs</i>", "kale & leek")
HOSTILE = ("<script>alert(1)<.jpg", '"; rm -rf x; ".jpg', "it's $(touch pwned).jpg", "-rf")


def photos(root: Path) -> list[LabelledImage]:
    """A folder a class, with names that a shell or a browser could take for more."""
    found: list[LabelledImage] = []
    for label, folder in enumerate(("figs", "kale & leek")):
        (root / folder).mkdir(parents=True)
        for name in HOSTILE:
            path = root / folder / name
            path.write_bytes(encoded(photo(len(found)), "JPEG"))
            found.append(LabelledImage(path, label, f"{len(found)}"))
    return found


def all_kinds(images: list[LabelledImage]) -> Findings:
    one, two, three, four = (image.path for image in images[:4])
    other = images[4].path
    return Findings(
        duplicates=(
            Duplicate(one, other, Copy.SAME_FILE, Crossing.SPLITS, 1.0, "the <same> file"),
            Duplicate(two, other, Copy.NEAR, Crossing.CLASSES, 0.9, "nearly the same"),
            Duplicate(four, one, Copy.SAME_PIXELS, Crossing.NOTHING, 0.99, "the same photo"),
        ),
        wrong_labels=(WrongLabel(three, 0, 1, 0.97, 0.001, (other,), "labelled <b>figs</b>"),),
        flaws=(Flaw(two, FlawKind.BLURRED, 0.8, "blurred & soft"),),
        one_scenes=(OneScene(1, (other,), "all of one scene"),),
    )


def page(root: Path) -> tuple[str, list[LabelledImage]]:
    images = photos(root)
    groups = Groups(tuple(range(8)), {}, 0.88, tuple(range(8)))
    found = render(root, images, CLASSES, all_kinds(images), groups, hold_out(images, groups))
    return found, images


def test_every_name_and_reason_is_escaped(tmp_path: Path) -> None:
    found, _ = page(tmp_path / "photos")
    assert "<script" not in found
    assert "<i>figs" not in found
    assert "the &lt;same&gt; file" in found.lower()
    for title in ("in two splits", "with two labels", "may be wrong", "in one class"):
        assert title in found
    for title in ("teach little", "all one scene", "What is held out"):
        assert title in found


def test_the_page_asks_no_other_host(tmp_path: Path) -> None:
    found, _ = page(tmp_path / "photos")
    assert not re.search(r'(?:src|href)="(?!data:image/jpeg|#)', found)
    assert "default-src 'none'" in found


def test_the_commands_do_what_they_say(tmp_path: Path) -> None:
    root = tmp_path / "photos"
    found, images = page(root)
    commands = [html.unescape(each) for each in re.findall(r"<code>(.*?)</code>", found)]
    assert len(commands) == 5
    gone = {images[index].path for index in (0, 1, 3)}
    moved = images[2].path
    for command in dict.fromkeys(commands):
        subprocess.run(["sh", "-c", command], cwd=root, check=True)
    assert not any(path.exists() for path in gone)
    left = {path.name for path in (root / "kale & leek").iterdir()}
    assert moved.name in left
    assert not moved.exists()
    assert not list(tmp_path.rglob("pwned"))
    assert len(left) == 4


def test_another_shot_of_the_same_class_may_stay(tmp_path: Path) -> None:
    images = photos(tmp_path / "photos")
    near = Duplicate(
        images[1].path, images[0].path, Copy.NEAR, Crossing.NOTHING, 0.9, "nearly the same"
    )
    groups = Groups(tuple(range(8)), {}, 0.88, tuple(range(8)))
    found = render(
        tmp_path, images, CLASSES, Findings(duplicates=(near,)), groups, hold_out(images, groups)
    )
    assert "Nearly the same" in found
    assert "<code>" not in found


def test_no_command_changes_what_an_archive_was_unpacked_to(tmp_path: Path) -> None:
    images = photos(tmp_path / "photos")
    groups = Groups(tuple(range(8)), {}, 0.88, tuple(range(8)))
    shown = (images, CLASSES, all_kinds(images), groups, hold_out(images, groups))
    found = render(tmp_path, *shown, (), Path("shop.zip"))
    assert "<code>" not in found
    assert "<h1>shop.zip</h1>" in found
    assert "Take it out of shop.zip." in found
    assert "Move it to kale &amp; leek in shop.zip." in found


def test_what_hides_its_neighbours_is_written_out(tmp_path: Path) -> None:
    path = tmp_path / "a\u202egpj.exe.jpg"
    path.write_bytes(encoded(photo(1), "JPEG"))
    images = [LabelledImage(path, 0, "1")]
    groups = Groups((0,), {}, 0.88, (0,))
    findings = Findings(flaws=(Flaw(path, FlawKind.TINY, 1.0, "small"),))
    found = render(tmp_path, images, ["fig"], findings, groups, hold_out(images, groups))
    assert "\u202e" not in found
    assert "invisible characters" in found


def test_labels_from_a_list_are_changed_there(tmp_path: Path) -> None:
    images = []
    for index in range(4):
        path = tmp_path / f"{index}.jpg"
        path.write_bytes(encoded(photo(index), "JPEG"))
        images.append(LabelledImage(path, index % 2, f"{index}"))
    groups = Groups((0, 1, 2, 3), {}, 0.88, (0, 1, 2, 3))
    suspect = WrongLabel(images[0].path, 0, 1, 0.9, 0.0, (images[1].path,), "look")
    findings = Findings(wrong_labels=(suspect,))
    found = render(tmp_path, images, ["fig", "kale"], findings, groups, hold_out(images, groups))
    assert "Change its label to kale in your list." in found
    assert "mv --" not in found


def test_many_findings_are_listed_and_a_missing_image_is_said(tmp_path: Path) -> None:
    images = [LabelledImage(tmp_path / f"{at}.jpg", 0, f"{at}") for at in range(MOST + 20)]
    of = tuple(range(len(images)))
    flaws = tuple(Flaw(image.path, FlawKind.ODD, 1.0, "odd") for image in images)
    groups = Groups(of, {}, 0.88, of)
    found = render(
        tmp_path, images, ["fig"], Findings(flaws=flaws), groups, hold_out(images, groups)
    )
    assert found.count("cannot be read") == MOST
    assert "20 more" in found
    assert f"{MOST + 19}.jpg" in found


def test_nothing_found_is_said(tmp_path: Path) -> None:
    assert "Nothing to do" in render(
        tmp_path,
        [],
        [],
        Findings(),
        Groups((), {}, 0.88, ()),
        hold_out([], Groups((), {}, 0.9, ())),
    )


def test_a_page_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    groups = Groups((), {}, 0.88, ())
    with pytest.raises(UsageError, match="cannot be written"):
        write_report(
            tmp_path / "file" / "report", tmp_path, [], [], Findings(), groups, hold_out([], groups)
        )


@pytest.mark.accept
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_browser_without_a_network_shows_it(tmp_path: Path, scheme: str) -> None:
    images = photos(tmp_path / "photos")
    groups = Groups(tuple(range(8)), {}, 0.88, tuple(range(8)))
    file = write_report(
        tmp_path / "report",
        tmp_path / "photos",
        images,
        CLASSES,
        all_kinds(images),
        groups,
        hold_out(images, groups),
    )
    with chromium() as browser:
        context = browser.new_context(color_scheme=scheme, offline=True)  # type: ignore[arg-type]
        view = context.new_page()
        complaints: list[str] = []
        view.on("console", lambda message: complaints.append(message.text))
        view.goto(file.as_uri())
        shown = "[...document.images].every(each => each.complete && each.naturalWidth > 0)"
        view.evaluate("document.querySelectorAll('img').forEach(each => each.loading = 'eager')")
        view.wait_for_function(shown)
        wide = "document.documentElement.scrollWidth <= window.innerWidth"
        assert view.evaluate(wide)
        view.set_viewport_size({"width": 360, "height": 700})
        assert view.evaluate(wide)
        paper = view.evaluate("getComputedStyle(document.body).backgroundColor")
        assert paper == ("rgb(250, 249, 245)" if scheme == "light" else "rgb(18, 22, 19)")
        assert complaints == []
