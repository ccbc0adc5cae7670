"""A checkpoint of a fit: what it is of, and whether another run may go on from it."""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from greengrocer.datasets.dataset import LabelledImage
from greengrocer.errors import UsageError
from greengrocer.safe_text import words_of
from greengrocer.training.recipe import Recipe, differences, read_back

State = dict[str, Any]
LATER = {"export", "name"}  # of the recipe, what decides only what becomes of the weights
PARTS = {"recipe", "epoch", "step", "network", "average", "optimiser"}


class TeacherId(NamedTuple):
    """The name of a teacher, for people, and the SHA-256 of its weights, which tells it apart."""

    name: str
    weights: str

    def __str__(self) -> str:
        return f"{self.name} ({self.weights[:12]})"


class Origin(NamedTuple):
    """All that decides which weights a fit ends in, but the machine.

    ``pictures`` and ``contents`` are digests of which images these are, by their names and by
    their bytes; ``contents`` is empty where the bytes are not known.
    """

    recipe: Recipe
    classes: int
    pictures: str
    contents: str
    teachers: tuple[TeacherId, ...] = ()

    def state(self) -> State:
        """What a checkpoint holds of it."""
        return {
            "recipe": self.recipe.model_dump_json(),
            "pictures": self.pictures,
            "contents": self.contents,
            "teachers": [tuple(teacher) for teacher in self.teachers],
        }

    def check(self, path: Path, state: State) -> None:
        """Raise UsageError where the ``state`` that ``path`` holds is of another fit than this."""
        then = read_back(state["recipe"])
        if then is None:
            raise _refused(path, "was written by a version whose recipe this one cannot read")
        changed = differences(then, self.recipe, LATER)
        if changed:
            raise _refused(path, f"was written under another recipe ({'; '.join(changed)})")
        classes = len(state["average"]["head.bias"])
        if classes != self.classes:
            raise _refused(path, f"is of {classes} classes, and the data has {self.classes}")
        if state.get("pictures", self.pictures) != self.pictures:
            raise _refused(path, "was written for other images: their names or classes differ")
        if self.contents and (state.get("contents") or self.contents) != self.contents:
            raise _refused(path, "was written for other images: their bytes differ")
        self._check_teachers(path, state)

    def _check_teachers(self, path: Path, state: State) -> None:
        if not self.teachers and not state.get("teachers"):
            return
        if "teachers" not in state:
            raise _refused(path, "does not say which teacher it learned from")
        then = tuple(TeacherId(*teacher) for teacher in state["teachers"])
        if [teacher.weights for teacher in then] != [each.weights for each in self.teachers]:
            raise UsageError(
                f"{path} learned from {_told(then)}, not from {_told(self.teachers)}: name the "
                "teacher that it began with, or delete it, or name another --out"
            )


def read_state(path: Path, device: str = "cpu") -> State:
    """The checkpoint at ``path``; raises UsageError where it is none, or damaged."""
    try:
        state = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # whatever bytes it holds, PyTorch has many words for them
        raise UsageError(f"{path} cannot be read, delete it: {_first_line(error)}") from error
    if not isinstance(state, dict) or not state.keys() >= PARTS:
        raise UsageError(
            f"{path} is not a checkpoint of a training: delete it, or name another --out"
        )
    return state


def names_digest(pictures: Sequence[LabelledImage]) -> str:
    """A digest of which images these are, by their names and labels, wherever they lie."""
    return _digest(f"{p.path.parent.name}/{p.path.name} {p.label}" for p in pictures)


def contents_digest(pictures: Sequence[LabelledImage]) -> str:
    """A digest of the images' bytes, in their order; empty where some have not been read."""
    if any(picture.digest is None for picture in pictures):
        return ""
    return _digest(str(picture.digest) for picture in pictures)


def weights_digest(weights: dict[str, torch.Tensor]) -> str:
    """The SHA-256 of a network's weights, whatever file they are in."""
    found = hashlib.sha256()
    for name in sorted(weights):
        found.update(name.encode())
        found.update(weights[name].detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()


def _digest(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode(errors="surrogateescape")).hexdigest()


def _told(teachers: Sequence[TeacherId]) -> str:
    return " + ".join(map(str, teachers)) or "no teacher"


def _refused(path: Path, why: str) -> UsageError:
    return UsageError(f"{path} {why}: delete it, or name another --out")


def _first_line(error: Exception) -> str:
    return words_of(error).partition("\n")[0]
