"""What the models of a training in folds answered for the images that they had not seen."""

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from greengrocer.bundles.manifest import Manifest
from greengrocer.calibration.temperature import calibrated
from greengrocer.engines.engine import Floats
from greengrocer.errors import UsageError
from greengrocer.figures.score import ClassIds, Flags

Arrays = dict[str, npt.NDArray[np.generic]]

WANTED = {"in_int8", "truth", "fold"}
SIZED = {"sizes", "sized_logits"}
SAME = 0.01  # percent: a top-1 that is as much off is that of other answers


@dataclass(frozen=True)
class FoldAnswers:
    """For N images that were held out in groups: all of a group by the same model.

    ``sizes`` are the apparent sizes at which they were answered, 1 among them.
    """

    groups: ClassIds  # [N], the fold of each
    labels: ClassIds  # [N]
    probabilities: Floats  # [N, classes], calibrated as the bundle's are
    sizes: tuple[float, ...] = (1.0,)
    right_by_size: Flags | None = None  # [sizes, N]; None for the images as they are alone

    @property
    def right(self) -> Flags:
        """Whether the likeliest class is the true one, [N]."""
        right: Flags = self.probabilities.argmax(axis=1) == self.labels
        return right


def read_fold_answers(path: Path, manifest: Manifest) -> FoldAnswers:
    """The answers in the file ``path``, which a training with folds leaves beside its bundle.

    Raises UsageError where it cannot be read, or is not of the training of ``manifest``.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            found: Arrays = {name: stored[name] for name in stored.files if name in WANTED | SIZED}
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, EOFError, KeyError, AttributeError, TypeError, zipfile.BadZipFile) as error:
        raise UsageError(f"{path} holds no answers of folds: {error}") from error
    if not found.keys() >= WANTED:
        raise UsageError(f"{path} holds no answers of folds: name the .out_of_fold.npz of a bundle")
    logits = found["in_int8"].astype(np.float32)
    if logits.shape[1:] != (len(manifest.classes),) or manifest.network is None:
        raise _other(path, manifest)
    answered = ~np.isnan(logits).any(axis=1)
    if not answered.any():
        raise UsageError(f"{path} holds no answers yet: let the training end")
    labels, groups = (found[name][answered].astype(np.int64) for name in ("truth", "fold"))
    probabilities = calibrated(logits[answered], manifest.network.temperature)
    answers = FoldAnswers(groups, labels, probabilities)
    top1 = 100 * float(answers.right.mean())
    if abs(manifest.metrics.get("out_of_fold_top1", -1) - top1) > SAME:
        raise _other(path, manifest)
    if not found.keys() >= SIZED:
        return answers
    sizes = tuple(float(size) for size in found["sizes"])
    right = found["sized_logits"][:, answered].argmax(axis=2) == labels
    return FoldAnswers(groups, labels, probabilities, sizes, right)


def _other(path: Path, manifest: Manifest) -> UsageError:
    return UsageError(
        f"{path} is not of the training of the bundle {manifest.name} {manifest.version}: name the "
        "file that lies beside it"
    )
