"""Read labelled images in any usual layout."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from greengrocer.datasets.layouts.coarse import FOUND, NONE, PLACES, regroup
from greengrocer.datasets.layouts.collection import (
    Collection,
    FoundImage,
    LeftOut,
    Note,
    formats_not_read,
    notes_on_classes,
    number_classes,
    order_images,
    without,
)
from greengrocer.datasets.layouts.folders import read_folders, unwrap
from greengrocer.datasets.layouts.grocery import grocery_root, grocery_splits, read_grocery
from greengrocer.datasets.layouts.names import is_path_excluded
from greengrocer.datasets.layouts.places import Order
from greengrocer.datasets.layouts.rows import TABLE_SUFFIXES
from greengrocer.datasets.layouts.tables import (
    check_unused,
    find_metadata,
    find_tables,
    read_tables,
    unusable_lists,
)
from greengrocer.datasets.layouts.tree import Folder, Scan, scan_tree
from greengrocer.datasets.layouts.zipped import is_archive, refusals_name, unpacked
from greengrocer.errors import DatasetUnusable

ORDERS = {FOUND: Order.GROUPS, NONE: Order.CLASSES, PLACES: Order.PLACES}

__all__ = ["Collection", "FoundImage", "LeftOut", "Note", "read_collection", "without"]


def read_collection(
    source: Path, *, coarse: str | Path | None = None, exclude: Sequence[str] = ()
) -> Collection:
    """All labelled images at ``source``: a folder, a CSV or JSONL that lists them, or a zip.

    ``coarse`` says where groups of classes come from: "folders" (nested folders, or the list's own
    column), "none" (no groups; of nested folders the outermost are the classes), "places" (of
    nested folders the outermost are places), or the path of a CSV with the columns class and
    coarse. By default ``places.find_order`` chooses among the first three. ``exclude`` has patterns
    of paths or names that do not count. Images are not opened here.

    Raises DatasetUnusable where there is nothing of the kind, or it contradicts itself.
    """
    grouping = FOUND if coarse is None else str(coarse)
    confined = is_archive(source)
    place, not_unpacked = unpacked(source) if confined else (source, ())
    if place.suffix.lower() in TABLE_SUFFIXES and place.exists() and not place.is_dir():
        found = _from_tables([place], scan_tree(place.parent, exclude), exclude, "table")
    elif not place.is_dir():
        raise DatasetUnusable(_why_no_source(source))
    else:
        with refusals_name(source, place):
            order = None if coarse is None else ORDERS.get(grouping)
            groups = () if grouping in ORDERS else (Path(grouping),)
            found = _from_folder(place, order, exclude, groups, confined=confined)
    taxonomy = regroup(found.taxonomy, grouping)
    images, without_split = _with_splits(found.images)
    notes = (*found.notes, *without_split, *notes_on_classes(taxonomy, images))
    root = place if place.is_dir() else place.parent
    left_out = (*found.left_out, *not_unpacked)
    return Collection(root, found.layout, taxonomy, images, notes, left_out)


def _with_splits(images: tuple[FoundImage, ...]) -> tuple[tuple[FoundImage, ...], list[Note]]:
    """All images with a split where some have one: the others count to "train"."""
    splits = [image.split for image in images]
    if None not in splits or not any(splits):
        return images, []
    text = f"{splits.count(None)} images have no split: they count to train"
    filled = [replace(image, split=image.split or "train") for image in images]
    return tuple(order_images(filled)), [Note("no-split", text)]


def _from_folder(
    place: Path,
    order: Order | None,
    exclude: Sequence[str],
    groups: Sequence[Path],
    *,
    confined: bool,
) -> Collection:
    """``groups`` are the files that say which classes are together, which are no lists."""
    root = grocery_root(place)
    if root is None:  # an archive of a repository has one folder around it
        inside = [each for each in place.iterdir() if each.is_dir()] if confined else []
        root = grocery_root(inside[0]) if len(inside) == 1 else None
    if root is not None:
        return _from_grocery(place, root, exclude)
    scan = scan_tree(place, exclude)
    if not scan.top.count:
        raise DatasetUnusable(_why_no_images(place, scan))
    for base in dict.fromkeys((place, unwrap(scan.top).path)):
        folder = scan.top if base == place else unwrap(scan.top)
        metadata = find_metadata(folder)
        if metadata:
            return _from_tables(metadata, scan, exclude, "imagefolder", folder, confined=confined)
        tables = find_tables(folder)
        if tables:
            scan.notes += unusable_lists(folder, groups)
            return _from_tables(tables, scan, exclude, "table", folder, confined=confined)
    inner = unwrap(scan.top)
    bases = [scan.top] if inner is scan.top else [scan.top, inner]
    unusable = [note for folder in bases for note in unusable_lists(folder, groups)]
    _check_meant(inner, unusable)
    labels = read_folders(scan.top, order)
    taxonomy, images = number_classes(place, labels.images)
    for folder in bases:
        labels.notes += check_unused(folder, len(taxonomy.classes))
    labels.notes += unusable
    return Collection(
        place,
        "folders",
        taxonomy,
        tuple(images),
        (*scan.notes, *labels.notes),
        (*labels.left_out, *scan.left_out),
    )


def _check_meant(inner: Folder, unusable: Sequence[Note]) -> None:
    """Refuse images without a folder of a class where a list was meant that cannot be used."""
    if not inner.filled():
        check_unused(inner, 0)
        for note in unusable:
            raise DatasetUnusable(f"{inner.path} cannot be read by its list {note.names[0]}")


def _why_no_source(source: Path) -> str:
    wanted = "a folder with a folder for each class, a CSV or JSONL that lists images, or a zip"
    if source.exists():
        return f"{source} is a file: give {wanted}"
    return f"there is no data set at {source}: give {wanted}"


def _why_no_images(place: Path, scan: Scan) -> str:
    told = formats_not_read(scan.left_out)
    if told is not None:
        kinds, todo = told
        return f"{place} holds no images in formats that are read, but {kinds}: {todo}"
    closed = [each for each in scan.left_out if each.kind == "unreadable"]
    if closed:
        return f"{place} holds no images that can be read: {closed[0].path}: {closed[0].why}"
    return f"{place} holds no images: it needs a folder for each class with its images in it"


def _from_grocery(place: Path, root: Path, exclude: Sequence[str]) -> Collection:
    taxonomy, listed = read_grocery(root, grocery_splits(root))
    kept = [image for image in listed if not is_path_excluded(image.path, place, exclude)]
    images = tuple(image for image in kept if image.path.is_file())
    there = {image.path for image in images}
    left_out = tuple(
        LeftOut(image.path, f"listed in {image.split}.txt, but not there", "missing")
        for image in kept
        if image.path not in there
    )
    if not images:
        raise DatasetUnusable(f"none of the {len(listed)} images that {root} lists is there")
    return Collection(root, "grocery", taxonomy, images, (), left_out)


def _from_tables(
    tables: Sequence[Path],
    scan: Scan,
    exclude: Sequence[str],
    layout: str,
    base: Folder | None = None,
    *,
    confined: bool = False,
) -> Collection:
    where = tables[0]
    listed = read_tables(tables, base or scan.top, scan.top.path, exclude, confined=confined)
    taxonomy, images = number_classes(where, listed.images)
    return Collection(
        where.parent,
        layout,
        taxonomy,
        tuple(images),
        (*scan.notes, *listed.notes),
        (*listed.left_out, *scan.left_out),
    )
