"""Which images are held out: whole groups, by a hash of what is in them, written down as a CSV.

A group is held out where its hash is small, whatever other groups there are. So one file more or
less moves no other group, which a drawn order would; only the bounds on a class's share can.
"""

import csv
import hashlib
import io
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from greengrocer.datachecks.groups import Groups
from greengrocer.datasets.dataset import LabelledImage
from greengrocer.errors import DatasetUnusable, UsageError
from greengrocer.regular_files import MAX_LIST_BYTES, read_regular, write_whole

SHARE = 0.2  # of the images
LEAST, MOST = 0.05, 0.5  # of a class, where its groups allow it
HEADER = ("path", "split")
TRAIN, VAL = "train", "val"


@dataclass(frozen=True)
class HoldOut:
    """``held_out`` [N] says of each image whether it is held out.

    ``places`` are those that are held out, whole; None where places do not decide.
    """

    held_out: tuple[bool, ...]
    one_sided: tuple[int, ...]  # classes on one side only, for all their images are one group
    places: tuple[str, ...] | None = None

    def split_of(self, index: int) -> str:
        """The name of its side: "train" or "val"."""
        return VAL if self.held_out[index] else TRAIN


def hold_out(
    images: Sequence[LabelledImage],
    groups: Groups,
    *,
    share: float = SHARE,
) -> HoldOut:
    """Choose about ``share`` of each class, and leave groups whole.

    Every class of two groups or more has images on both sides; ``one_sided`` names the others.
    ``images`` need their digests.
    """
    choice = _Choice(images, groups, share)
    # Classes of few groups first: they have the least freedom.
    for label in sorted(choice.classes, key=lambda label: (len(choice.classes[label]), label)):
        choice.balance(label)
    # The only image of a class trains, whatever its place does; and so do its copies.
    counts = Counter(image.label for image in images)
    lone = {
        copies
        for image, copies in zip(images, groups.copies, strict=True)
        if counts[image.label] == 1
    }
    held = tuple(
        group in choice.held and copies not in lone
        for group, copies in zip(groups.of, groups.copies, strict=True)
    )
    sides: dict[int, set[bool]] = defaultdict(set)
    for image, side in zip(images, held, strict=True):
        sides[image.label].add(side)
    one_sided = tuple(sorted(label for label, found in sides.items() if len(found) == 1))
    return HoldOut(held, one_sided)


@dataclass
class _Choice:
    """The groups that are held out so far."""

    images: Sequence[LabelledImage]
    groups: Groups
    share: float
    classes: dict[int, dict[int, int]] = field(default_factory=dict)  # class -> group -> images
    held: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        counts: dict[int, dict[int, int]] = defaultdict(lambda: defaultdict(int))
        content: dict[int, str] = {}
        for image, group in zip(self.images, self.groups.of, strict=True):
            counts[image.label][group] += 1
            digest = image.digest or str(image.path)
            content[group] = min(digest, content.get(group, digest))
        self.classes = {label: dict(found) for label, found in counts.items()}
        # The smallest digest names the group: most files may go without changing it.
        self._keys = {group: _hash(digest) for group, digest in content.items()}
        self._ruled_out = {
            group
            for found in self.classes.values()
            for group, size in found.items()
            if size > sum(found.values()) / 2  # training needs it; there is one at most
        }
        self.held = {
            group
            for group, key in self._keys.items()
            if key < self.share and group not in self._ruled_out
        }

    def balance(self, label: int) -> None:
        """Bring a class's share within its bounds, and onto both sides where it has two groups."""
        sizes = self.classes[label]
        whole = sum(sizes.values())
        ascending = sorted(sizes, key=self._keys.__getitem__)
        for group in reversed(ascending):
            if group in self.held and self._held_of(label) > MOST * whole:
                rest = self._held_of(label) - sizes[group]
                if rest >= LEAST * whole and self._spares(group, adding=False):
                    self.held.discard(group)
        for group in ascending:
            if self._held_of(label) >= LEAST * whole:
                break
            if group not in self.held and self._may_be_held(label, group, whole):
                self.held.add(group)
        self._both_sides(label, ascending)

    def _both_sides(self, label: int, ascending: list[int]) -> None:
        """The last resort: whatever the shares."""
        sizes = self.classes[label]
        if len(sizes) < 2:
            return
        count = self._held_of(label)
        if count == 0:
            small = sorted(ascending, key=sizes.__getitem__)
            allowed = [group for group in small if self._spares(group, adding=True)]
            self.held.update(allowed[:1])
        elif count == sum(sizes.values()):
            large = sorted(ascending, key=lambda group: -sizes[group])
            allowed = [group for group in large if self._spares(group, adding=False)]
            self.held.difference_update(allowed[:1])

    def _held_of(self, label: int) -> int:
        return sum(size for group, size in self.classes[label].items() if group in self.held)

    def _may_be_held(self, label: int, group: int, whole: int) -> bool:
        fits = self._held_of(label) + self.classes[label][group] <= MOST * whole
        return fits and self._spares(group, adding=True)

    def _spares(self, group: int, *, adding: bool) -> bool:
        """Whether every class of the group stays on both sides when it changes its own."""
        after = self.held | {group} if adding else self.held - {group}
        for sizes in self.classes.values():
            if group in sizes and len(sizes) > 1:
                inside = sum(other in after for other in sizes)
                if inside == (len(sizes) if adding else 0):
                    return False
        return True


def _hash(digest: str) -> float:
    """A number from 0 to 1 that only the content decides."""
    hashed = hashlib.sha256(f"hold-out {digest}".encode()).digest()
    return int.from_bytes(hashed[:8], "big") / 2**64


def write_hold_out(
    path: Path,
    root: Path,
    images: Sequence[LabelledImage],
    chosen: HoldOut,
    splits: Sequence[str | None] = (),
) -> None:
    """Write (path, split) of the images as a CSV, paths relative to ``root``.

    Images that are in the split "test" by ``splits`` are on neither side, and are not written.
    Raises UsageError where it cannot be written.
    """
    rows = sorted(
        (_relative(image.path, root), chosen.split_of(index))
        for index, image in enumerate(images)
        if not splits or splits[index] != "test"
    )
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows([HEADER, *rows])  # so \r is quoted in a cell
    try:
        write_whole(path, text.getvalue())
    except OSError as error:
        raise UsageError(f"the hold-out {path} cannot be written: {error.strerror}") from error


def read_hold_out(path: Path, root: Path) -> dict[Path, str]:
    """What ``write_hold_out`` wrote: the split of each image below ``root``.

    Raises DatasetUnusable where the file is no such list.
    """
    try:
        text = read_regular(path, MAX_LIST_BYTES).decode("utf-8", "surrogateescape")
    except OSError as error:
        raise DatasetUnusable(f"the hold-out {path}: {error.strerror or error}") from error
    try:
        rows = csv.reader(io.StringIO(text, newline=""), strict=True)
        if tuple(next(rows, ())) != HEADER:
            raise DatasetUnusable(f"the hold-out {path}: its first line is not 'path,split'")
        found = {}
        for row in rows:
            if len(row) != 2 or row[1] not in (TRAIN, VAL):
                raise DatasetUnusable(
                    f"the hold-out {path}, line {rows.line_num}: not a path and 'train' or 'val'"
                )
            found[root / PurePosixPath(row[0])] = row[1]
    except csv.Error as error:
        raise DatasetUnusable(f"the hold-out {path} is not a CSV: {error}") from error
    return found


def _relative(path: Path, root: Path) -> str:
    """The path as a cell that no spreadsheet takes for a formula, as one that begins with =."""
    written = (path.relative_to(root) if path.is_relative_to(root) else path).as_posix()
    return written if written[0].isalnum() or written[0] == "/" else f"./{written}"
