"""What was found where a person keeps labelled images, whatever its layout."""

from collections import Counter
from collections.abc import Container, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from greengrocer.datasets.labelled import Taxonomy
from greengrocer.datasets.layouts.names import SPLITS, similar_names
from greengrocer.errors import DatasetUnusable
from greengrocer.safe_text import check_name

# Codes of the notes on classes, which change with the images.
_ON_CLASSES = frozenset(
    {"similar-names", "one-image", "not-in-train", "only-in-test", "not-in-val"}
)


@dataclass(frozen=True)
class FoundImage:
    """A labelled image. ``split`` is "train", "val", "test" or None where none is given.

    ``place`` names where it was taken, where the folders tell.
    """

    path: Path
    label: int
    split: str | None = None
    place: str | None = None


@dataclass(frozen=True)
class Note:
    """Something that a person should know. ``names`` are the classes, folders or files meant."""

    code: str
    text: str
    names: tuple[str, ...] = ()
    todo: str | None = None


@dataclass(frozen=True)
class LeftOut:
    """A file or folder that does not count. ``kind`` says why in one word, or names the format.

    Kinds: ``loose`` (beside the folders of classes), ``missing`` (listed, but not there),
    ``unlabelled``, ``unreadable`` (a folder without permission, a broken link), ``not-unpacked``
    (of an archive), and for ``format`` the name of a format that is not read, as ``PSD``.
    """

    path: Path
    why: str
    kind: str
    format: str | None = None


def formats_not_read(left_out: Iterable[LeftOut]) -> tuple[str, str] | None:
    """Which formats were left out and how many files of each, and what to do; None for none."""
    counts = Counter(each.format for each in left_out if each.format is not None)
    if not counts:
        return None
    kinds = ", ".join(f"{number:,} {name}" for name, number in sorted(counts.items()))
    todo = "convert them to JPEG, PNG or WebP"
    if counts.keys() & {"HEIC", "AVIF"}:
        todo += "; HEIC and AVIF are read with the extra heif: pip install 'greengrocer[heif]'"
    return kinds, todo


@dataclass(frozen=True)
class Collection:
    """Labelled images. ``layout`` is "folders", "table", "imagefolder" or "grocery"."""

    root: Path
    layout: str
    taxonomy: Taxonomy
    images: tuple[FoundImage, ...]
    notes: tuple[Note, ...] = ()
    left_out: tuple[LeftOut, ...] = ()

    @property
    def has_splits(self) -> bool:
        """Whether any image has a split."""
        return any(image.split is not None for image in self.images)


@dataclass(frozen=True)
class NamedImage:
    """An image as a layout gives it, before the classes are numbered."""

    path: Path
    name: str
    coarse: str | None = None
    split: str | None = None
    place: str | None = None


def number_classes(where: Path, images: Iterable[NamedImage]) -> tuple[Taxonomy, list[FoundImage]]:
    """The classes in order of their names, and the images by split, class and path.

    Raises DatasetUnusable for a class that is in two coarse classes, or has an unsuitable name.
    """
    found = list(images)
    coarse_by_name: dict[str, str | None] = {}
    for image in found:
        before = coarse_by_name.setdefault(image.name, image.coarse)
        if before != image.coarse:
            raise DatasetUnusable(
                f"{where}: the class {image.name!r} is in {before!r} and in {image.coarse!r}: "
                "if those are places, use --coarse places; if they are the classes, --coarse none; "
                "if they are groups of classes, give one of the two classes another name"
            )
    taxonomy = build_taxonomy(where, coarse_by_name)
    ids = {name: label for label, name in enumerate(taxonomy.classes)}
    numbered = [
        FoundImage(image.path, ids[image.name], image.split, image.place) for image in found
    ]
    return taxonomy, order_images(numbered)


def order_images(images: Iterable[FoundImage]) -> list[FoundImage]:
    """The images by split, class and path."""
    order = (*SPLITS, None)
    return sorted(images, key=lambda image: (order.index(image.split), image.label, image.path))


def build_taxonomy(where: Path, coarse_by_name: dict[str, str | None]) -> Taxonomy:
    """The taxonomy of classes and their coarse classes; without those, it has no hierarchy."""
    names = sorted(coarse_by_name)
    check_names(where, names)
    if not any(coarse_by_name.values()):
        return Taxonomy(tuple(names))
    # A class outside every group is a group of its own.
    groups = [coarse_by_name[name] or name for name in names]
    coarse = sorted(set(groups))
    check_names(where, coarse)
    return Taxonomy(tuple(names), tuple(coarse), tuple(coarse.index(group) for group in groups))


def check_names(where: Path, names: Iterable[str]) -> None:
    """Refuse what a bundle could not hold as a class before anything is trained on it."""
    for name in names:
        try:
            check_name(name)
        except ValueError as error:
            raise DatasetUnusable(f"{where}: the class {error}") from error


def notes_on_classes(taxonomy: Taxonomy, images: Iterable[FoundImage]) -> list[Note]:
    """What is odd about the classes: their names, their counts, the splits that they are in."""
    notes = [
        Note(
            "similar-names",
            f"{' and '.join(map(repr, names))} differ only by case, blanks, hyphens or underscores",
            names,
            "if they are one class, give them one name",
        )
        for names in similar_names(taxonomy.classes)
    ]
    by_class: dict[int, list[str | None]] = {label: [] for label in range(len(taxonomy.classes))}
    splits: set[str | None] = set()
    for image in images:
        by_class[image.label].append(image.split)
        splits.add(image.split)
    single = [taxonomy.classes[label] for label, of in by_class.items() if len(of) == 1]
    if single:
        notes.append(
            Note(
                "one-image",
                "a class with one image is learned, but not judged: nothing of it is held out",
                tuple(single),
                "add images",
            )
        )
    if "train" in splits:
        notes += _one_sided(taxonomy, by_class, splits)
    return notes


def _one_sided(
    taxonomy: Taxonomy, by_class: dict[int, list[str | None]], splits: set[str | None]
) -> list[Note]:
    names = taxonomy.classes
    never = {label for label, of in by_class.items() if of and "train" not in of}
    in_val = tuple(names[label] for label in sorted(never) if "val" in by_class[label])
    in_test = tuple(names[label] for label in sorted(never) if "val" not in by_class[label])
    unjudged = tuple(
        names[label]
        for label, of in by_class.items()
        if "val" in splits and of and "val" not in of and label not in never
    )
    texts = (
        (
            "not-in-train",
            "a class without images in the split train cannot be learned",
            in_val,
        ),
        ("only-in-test", "a class in the split test alone is neither learned nor judged", in_test),
        ("not-in-val", "a class without images in the split val is learned, not judged", unjudged),
    )
    return [Note(code, text, which) for code, text, which in texts if which]


def without(collection: Collection, paths: Container[Path]) -> Collection:
    """``collection`` without the images at ``paths``, and without the classes that are left empty.

    The Grocery Store Dataset lists its classes: those stay.
    """
    images = tuple(image for image in collection.images if image.path not in paths)
    taxonomy, kept = collection.taxonomy, images
    if collection.layout != "grocery":
        taxonomy, ids = restrict(taxonomy, {image.label for image in images})
        kept = tuple(replace(image, label=ids[image.label]) for image in images)
    gone = set(collection.taxonomy.classes) - set(taxonomy.classes)
    notes = [note for note in collection.notes if note.code not in _ON_CLASSES]
    if gone:
        text = "no image that can be read is in these classes: they are left out"
        notes.append(Note("unreadable-class", text, tuple(sorted(gone))))
    notes += notes_on_classes(taxonomy, kept)
    return replace(collection, taxonomy=taxonomy, images=kept, notes=tuple(notes))


def restrict(taxonomy: Taxonomy, labels: Iterable[int]) -> tuple[Taxonomy, dict[int, int]]:
    """The classes with the ids ``labels`` alone, and the new id of each."""
    kept = sorted(labels)
    ids = {label: index for index, label in enumerate(kept)}
    classes = tuple(taxonomy.classes[label] for label in kept)
    if taxonomy.coarse is None or taxonomy.coarse_of is None:
        return Taxonomy(classes), ids
    groups = sorted({taxonomy.coarse_of[label] for label in kept})
    coarse = tuple(taxonomy.coarse[group] for group in groups)
    return Taxonomy(classes, coarse, tuple(groups.index(taxonomy.coarse_of[k]) for k in kept)), ids
