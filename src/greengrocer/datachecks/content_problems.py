"""What the images show, as problems that a person acts on."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from greengrocer.datachecks.contents import Contents
from greengrocer.datachecks.findings import Crossing, FlawKind
from greengrocer.datachecks.problems import Problem, Severity, counted, shown

_COPIES = (
    (
        Crossing.SPLITS,
        "leak",
        "in two splits, the same or nearly so: the model is judged by what it was trained on",
        "remove one of each pair",
    ),
    (
        Crossing.CLASSES,
        "contradiction",
        "in two classes, the same or nearly so: one of the labels is wrong",
        "remove the wrong one of each pair",
    ),
    (
        Crossing.NOTHING,
        "duplicate",
        "like another of its class, the same or nearly so: both stay on one side of the hold-out",
        None,
    ),
)
_FLAWS = {
    FlawKind.TINY: "tiny",
    FlawKind.UNIFORM: "uniform",
    FlawKind.DARK: "dark",
    FlawKind.BLURRED: "blurred",
    FlawKind.ODD: "odd",
}


def content_problems(contents: Contents, root: Path, classes: Sequence[str]) -> tuple[Problem, ...]:
    """The problems, the worst first; paths are below ``root`` where they can be."""
    return (
        *_copies(contents, root),
        *_labels(contents, root, classes),
        *_flaws(contents, root),
        *_scenes(contents, classes),
        *_held_out(contents, root),
    )


def _copies(contents: Contents, root: Path) -> Iterator[Problem]:
    for crossing, code, what, todo in _COPIES:
        found = [each for each in contents.findings.duplicates if each.crossing is crossing]
        if found:
            items = tuple(
                f"{shown(each.path, root)} = {shown(each.original, root)} ({each.kind})"
                for each in found
            )
            severity = Severity.NOTE if crossing is Crossing.NOTHING else Severity.WARNING
            text = f"{counted(len(found), 'photo')} {what}"
            yield Problem(code, severity, text, todo, items)


def _labels(contents: Contents, root: Path, classes: Sequence[str]) -> Iterator[Problem]:
    found = contents.findings.wrong_labels
    if found:
        items = tuple(
            f"{shown(each.path, root)}: rather {classes[each.suggested]} "
            f"({each.confidence:.0%}) than {classes[each.given]}"
            for each in found
        )
        text = f"{counted(len(found), 'label')} may be wrong, the surest first"
        todo = "look at them, and move those that are wrong to their class"
        yield Problem("label-suspect", Severity.WARNING, text, todo, items)


def _flaws(contents: Contents, root: Path) -> Iterator[Problem]:
    for kind, code in _FLAWS.items():
        found = [each for each in contents.findings.flaws if each.kind is kind]
        if found:
            items = tuple(f"{shown(each.path, root)}: {each.reason}" for each in found)
            text = f"{counted(len(found), 'image')} {kind}"
            todo = "keep them if what you will ask about looks like that, else remove them"
            yield Problem(code, Severity.NOTE, text, todo, items)


def _scenes(contents: Contents, classes: Sequence[str]) -> Iterator[Problem]:
    found = contents.findings.one_scenes
    if found:
        items = tuple(classes[each.label] for each in found)
        text = (
            f"{counted(len(found), 'class')} of one scene, judged by images of the same scene: "
            "that flatters"
        )
        yield Problem("one-scene", Severity.WARNING, text, "add photos from elsewhere", items)


def _held_out(contents: Contents, root: Path) -> Iterator[Problem]:
    held, count = sum(contents.hold_out.held_out), len(contents.groups.of)
    groups = len(set(contents.groups.of))
    text = (
        f"{counted(count, 'image')} in {counted(groups, 'group')} of what was taken together; "
        f"{held:,} ({held / max(count, 1):.0%}) are held out to judge the model"
    )
    whole, places, todo = contents.hold_out.places, contents.places, None
    if places is not None and whole is not None:
        text += f": all photos of {len(whole):,} of the {counted(len(places.names), 'place')}"
    elif places is not None:
        why, todo = places.told(root)
        text += f"; {why}"
    if not held:
        more = "add photos of each class from other places or days: single ones would flatter"
        todo = f"{todo}; and {more}" if todo else more
    severity = Severity.NOTE if held else Severity.WARNING
    yield Problem("held-out", severity, text, todo, whole or ())
