"""What ``train --quick``, ``teach`` and ``forget`` say."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from greengrocer.cli.output import say
from greengrocer.errors import MissingExtra
from greengrocer.figures.intervals import wilson
from greengrocer.minimum_versions import check_minimum_versions
from greengrocer.safe_text import one_line

if TYPE_CHECKING:
    from greengrocer.quick.calibration import Calibration
    from greengrocer.quick.train import Trained

FEW = 50  # images a class: with more, fine-tuning gains more than a head can


def check_extra() -> None:
    """Raise MissingExtra where the extra is not installed, and OutdatedLibrary."""
    check_minimum_versions({"quick"})
    try:
        import onnx  # noqa: F401, PLC0415
        import safetensors  # noqa: F401, PLC0415
    except ModuleNotFoundError as error:
        raise MissingExtra("quick training", extra="quick") from error


def train_quickly(
    photos: Path, out: Path, seed: int, *, coarse: str | None, exclude: Sequence[str]
) -> int:
    """Train on ``photos``, and say what was found, how good it is, and what serves it."""
    check_extra()
    from greengrocer.datachecks.problems import problem_lines  # noqa: PLC0415
    from greengrocer.quick.shots import by_place  # noqa: PLC0415
    from greengrocer.quick.train import train_quick  # noqa: PLC0415

    found = train_quick(photos, out, seed, coarse=coarse, exclude=exclude)
    for line in problem_lines(found.labelled.problems, photos):
        say(one_line(line))
    _say_images(found)
    statistics, places = found.statistics, found.places
    say_figures(found.calibration, by_place(statistics.shots, statistics.labels))
    if places is not None and places.obstacle is not None:
        why, todo = places.told(photos)
        say(one_line(f"{why}; to do: {todo}"))
    say(_advice(found))
    say(f"wrote {out}: try `greengrocer serve --bundle {out}`")
    return 0


def _say_images(found: "Trained") -> None:
    """Say which images it learned from, and how well it answers those of the split val."""
    counts, labelled = found.statistics.counts, found.labelled
    held = len(labelled.held_out)
    learned = " of the split train" if held or labelled.tested else ""
    least, most = counts.min(), counts.max()
    each = f"{least}" if least == most else f"{least} to {most}"
    images, classes = counts.sum(), len(counts)
    say(f"it learns from {images:,} images{learned}, of {classes:,} classes, {each} a class")
    if labelled.tested:
        say(f"it does not look at the {labelled.tested:,} images of the split test")
    if not held:
        return
    low, high = wilson(found.right, held)
    same = (
        f"; {found.leaked:,} of them are in train as well, which flatters" if found.leaked else ""
    )
    say(
        f"held out, the {held:,} images of the split val: {100 * found.right / held:.1f} % right "
        f"(95 % interval {100 * low:.1f} to {100 * high:.1f}){same}"
    )


def say_figures(calibration: "Calibration", places: bool = False) -> None:
    """Say how good the answers were out of fold; whole ``places`` may have been held out."""
    if calibration.interval is None:
        say("no class has two images: nothing could be held out, and how good it is, is not known")
        return
    low, high = calibration.interval
    metrics = calibration.metrics
    say(
        f"held out in turn, {calibration.judged:,} of those that it learns from: "
        f"{metrics['out_of_fold_top1']:.1f} % right (95 % interval {low:.1f} to {high:.1f}), "
        f"calibration error {metrics['out_of_fold_ece']:.1f} %; "
        f"{'whole places' if places else 'alike images'} were held out together"
    )


def _advice(found: "Trained") -> str:
    """Whether fine-tuning is worth the wait."""
    interval = found.calibration.interval
    if interval is None:
        return "add images: five a class is a start, twenty are better"
    if interval[0] > 97:
        return "fine-tuning could gain little: the head alone is nearly always right"
    if found.statistics.counts.mean() < FEW / 2:
        return (
            "more images a class help most; fine-tuning (without --quick) gains too, but takes "
            "minutes to hours"
        )
    return (
        "fine-tuning (without --quick) is worth the wait where classes look alike: it takes "
        "minutes to hours, and gained 9 to 18 points on 81 groceries"
    )
