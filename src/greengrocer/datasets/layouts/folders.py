"""Folders as labels: a folder a class, groups of them, and splits of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from greengrocer.datasets.layouts.collection import LeftOut, NamedImage, Note
from greengrocer.datasets.layouts.names import one_form, split_of
from greengrocer.datasets.layouts.places import (
    Order,
    Root,
    find_order,
    holds_splits,
    is_group,
    place_roots,
)
from greengrocer.datasets.layouts.tree import Folder
from greengrocer.errors import DatasetUnusable

LOOSE = "beside the folders of classes: it has no label"
PLACES = (
    "the same folders recur in the outermost ones: the outermost are read as places, the folders "
    "in them as classes (--coarse none: the outermost are the classes; --coarse folders: they are "
    "groups of classes)"
)
DAYS = (
    "the folders within the outermost ones are named as places or days are: the outermost are read "
    "as the classes (--coarse places: the folders within are)"
)


@dataclass
class Labels:
    """What folders say: the images under their names, and what to know about it."""

    base: Folder
    images: list[NamedImage] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)

    def leave_out(self, paths: Sequence[Path], why: str, kind: str) -> None:
        """Note that images do not count."""
        self.left_out += [LeftOut(path, why, kind) for path in paths]


def unwrap(top: Folder) -> Folder:
    """The folder within wrappers: what is in a folder that holds nothing but one other folder."""
    base = top
    while not base.files and len(base.filled()) == 1:
        only = base.filled()[0]
        if split_of(only.name) or not is_group(only):
            break
        base = only
    return base


def split_folders(base: Folder) -> list[Folder]:
    """The folders of splits in ``base``; none where a folder ``train`` is a class beside others."""
    named = [folder for folder in base.filled() if split_of(folder.name)]
    splits = [folder for folder in named if folder.filled()]
    strangers = [folder for folder in base.filled() if not split_of(folder.name)]
    if strangers and len({split_of(folder.name) for folder in splits}) < 2:
        return []
    return splits


def read_folders(top: Folder, order: Order | None = None) -> Labels:
    """The images of the folders below ``top``, each under the name of its class.

    ``order`` says what folders in folders are; by default ``places.find_order`` decides. Raises
    DatasetUnusable where there are no classes.
    """
    base = unwrap(top)
    _check_classes(base)
    labels = Labels(base)
    if base is not top:
        text = f"the classes are read from the folder {base.name} within"
        labels.notes.append(Note("wrapper", text, (base.name,)))
    splits = split_folders(base)
    roots = [Root(each, split_of(each.name)) for each in splits] or [Root(base)]
    _set_apart(labels, splits)
    for root in roots:
        labels.leave_out(root.folder.files, LOOSE, "loose")
    found = order or find_order(roots)
    within = found is Order.CLASSES and find_order(roots) is Order.CLASSES
    if order is None and within:
        labels.notes.append(Note("days", DAYS))
    if found is Order.PLACES:
        roots = _read_places(labels, roots)
    nested = found is not Order.CLASSES and any(
        is_group(each) and not holds_splits(each) for root in roots for each in root.folder.filled()
    )
    for root in roots:
        for each in root.folder.filled():
            images = _nested(labels, each, root.split) if nested else _whole(each, root.split)
            labels.images += (
                replace(image, place=_place_within(each, image.path) if within else root.place)
                for image in images
            )
    _note_classes(labels, [root.folder for root in roots], nested=nested)
    return labels


def _place_within(folder: Folder, path: Path) -> str | None:
    """The folder of a place or a day, within that of a class, that an image is in."""
    inside = path.relative_to(folder.path).parts[:-1]
    return inside[0] if inside and split_of(inside[0]) is None else None


def _read_places(labels: Labels, roots: list[Root]) -> list[Root]:
    """The places below ``roots``; what lies beside them is a class that they have, or left out."""
    places = place_roots(roots)
    for place in places:
        labels.leave_out(place.folder.files, LOOSE, "loose")
    classes = {each.name for place in places for each in place.folder.filled()}
    for root in roots:
        for each in root.folder.filled():
            if is_group(each) and not holds_splits(each):
                continue
            if each.name in classes:
                labels.images += _whole(each, root.split)
            else:
                labels.leave_out(list(each.below()), "in a place, but in no class", "unlabelled")
    names = tuple(sorted({str(place.place) for place in places}))
    labels.notes.append(Note("places", PLACES, names))
    return places


def _check_classes(base: Folder) -> None:
    """Refuse images that are in no folder of a class."""
    inside = base.filled()
    todo = (
        "put the images of each class into a folder with its name, or list them in a CSV with the "
        "columns path and label"
    )
    if not inside:
        files = len(base.files)
        raise DatasetUnusable(f"{base.path} holds {files} images, but no folders: {todo}")
    if len(inside) > 1 and all(split_of(each.name) and not each.filled() for each in inside):
        names = " and ".join(each.name for each in inside)
        raise DatasetUnusable(
            f"the splits {names} in {base.path} hold images, but no folders of classes: {todo}"
        )


def _set_apart(labels: Labels, splits: list[Folder]) -> None:
    """Leave out what lies beside the folders of splits; tell of a split that is a class."""
    base = labels.base
    if not splits:
        taken = tuple(folder.name for folder in base.filled() if split_of(folder.name))
        if taken and len(base.filled()) > len(taken):
            text = "read as classes, not as splits: there are other folders beside them"
            labels.notes.append(Note("split-as-class", text, taken))
        return
    for folder in base.filled():
        if folder not in splits:
            unlabelled = split_of(folder.name)
            why = "no folder a class within it" if unlabelled else "not in a folder of a split"
            labels.leave_out(list(folder.below()), why, "unlabelled")
    labels.leave_out(base.files, "not in a folder of a split", "loose")
    base.files = []


def _whole(folder: Folder, split: str | None) -> Iterator[NamedImage]:
    """All images below ``folder`` as one class, with its own folders of splits if it has those."""
    if split is None and holds_splits(folder):
        for each in folder.filled():
            yield from _named(each.files, folder.name, None, split_of(each.name))
        yield from _named(folder.files, folder.name, None, None)
    else:
        yield from _named(sorted(folder.below()), folder.name, None, split)


def _nested(labels: Labels, top: Folder, split: str | None) -> Iterator[NamedImage]:
    """The classes below ``top``, which is their coarse class, or ``top`` as a class of its own."""
    pending = [(top, split)]
    while pending:
        folder, within = pending.pop()
        inside = folder.filled()
        if is_group(folder) and not holds_splits(folder):
            labels.leave_out(folder.files, LOOSE, "loose")
            names = [split_of(each.name) for each in inside]
            if within is None and None not in names:  # the splits of a group
                pending += zip(inside, names, strict=True)
            else:
                pending += [(each, within) for each in inside]
        else:
            for image in _whole(folder, within):
                yield NamedImage(image.path, image.name, top.name, image.split)


def _named(
    paths: Sequence[Path], name: str, coarse: str | None, split: str | None
) -> Iterator[NamedImage]:
    return (NamedImage(path, name, coarse, split) for path in paths)


def _note_classes(labels: Labels, roots: list[Folder], *, nested: bool) -> None:
    filled = {image.name for image in labels.images}
    empty = {each.name for root in roots for each in _empty(root)} - filled
    if empty:
        text = "no image that can be read is in these folders: they are no classes"
        labels.notes.append(Note("empty-class", text, tuple(sorted(empty))))
    if nested:
        groups = {image.coarse for image in labels.images}
        text = "folders within folders: the outermost are groups of classes"
        todo = "if the outermost folders are the classes, use --coarse none"
        labels.notes.append(Note("hierarchy", text, tuple(sorted(map(str, groups))), todo))
    for root in roots:
        raw = {each.path.name for each in root.filled()}
        if len({one_form(name) for name in raw}) < len(raw):
            text = "folders whose names are the same in another Unicode form are one class"
            same = [name for name in raw if one_form(name) != name]
            labels.notes.append(Note("unicode-names", text, tuple(sorted(map(one_form, same)))))


def _empty(root: Folder) -> Iterator[Folder]:
    """Folders without any image, the outermost of each."""
    for folder in root.folders:
        if not folder.count:
            yield folder
        elif is_group(folder):
            yield from _empty(folder)
