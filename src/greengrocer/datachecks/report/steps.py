"""What a person does about a finding: a command where one does it, else a sentence."""

import os
import shlex
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from greengrocer.datachecks.report.markup import below, text
from greengrocer.datasets.dataset import LabelledImage
from greengrocer.safe_text import unsafe


class Steps:
    """The steps for the images below ``root``, whose classes are ``classes``.

    Where they came out of an ``archive``, no command changes it.
    """

    def __init__(
        self,
        root: Path,
        images: Sequence[LabelledImage],
        classes: Sequence[str],
        archive: Path | None = None,
    ) -> None:
        self._root, self._classes, self._archive = root, classes, archive
        self._folders = _class_folders(images)

    def remove(self, path: Path) -> str:
        """Remove a file, as HTML."""
        if self._archive is not None:
            return f"<p>Take it out of {text(self._archive.name)}.</p>"
        return self._command("rm", path)

    def move(self, path: Path, label: int) -> str:
        """Move a file to another class, as HTML."""
        name = self._classes[label]
        if self._archive is not None:
            return f"<p>Move it to {text(name)} in {text(self._archive.name)}.</p>"
        target = _nearest(self._folders.get(label, []), path)
        if target is None or _class_of(self._folders, path.parent) is None:
            return f"<p>Change its label to {text(name)} in your list.</p>"
        return self._command("mv", path, target)

    def _command(self, program: str, *paths: Path) -> str:
        names = [str(below(path, self._root)) for path in paths]
        if program == "mv":
            names[-1] += "/"
        if any(unsafe(character) for name in names for character in name):
            return "<p>Its name holds invisible characters: rename it first.</p>"
        words = " ".join([program, "--", *(shlex.quote(name) for name in names)])
        return f"<code>{text(words)}</code>"


def _class_folders(images: Sequence[LabelledImage]) -> dict[int, list[Path]]:
    """The folders of each class, in the order of their images; none where classes share one."""
    counts: dict[Path, Counter[int]] = defaultdict(Counter)
    for image in images:
        counts[image.path.parent][image.label] += 1
    found: dict[int, list[Path]] = defaultdict(list)
    for folder, labels in counts.items():
        if len(labels) == 1:
            found[next(iter(labels))].append(folder)
    return found


def _class_of(folders: dict[int, list[Path]], folder: Path) -> int | None:
    return next((label for label, found in folders.items() if folder in found), None)


def _nearest(folders: Sequence[Path], path: Path) -> Path | None:
    """The folder that shares the longest way with ``path``: that of its own split."""
    return max(folders, key=lambda folder: len(os.path.commonpath([folder, path])), default=None)
