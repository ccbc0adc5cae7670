"""Layouts of labelled images, drawn in a test's folder; and what was read of them."""

from pathlib import Path

from greengrocer.datasets.layouts.names import FOREIGN
from greengrocer.datasets.layouts.read import Collection
from support.make_images import jpeg

NO_JPEG = {*FOREIGN, ".txt"}


def draw(root: Path, *names: str) -> Path:
    """A grey JPEG under each of ``names``, all different; no image under a foreign suffix."""
    for index, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"no image" if path.suffix.lower() in NO_JPEG else jpeg(index % 256))
    return root


def by_class(found: Collection) -> dict[str, list[str]]:
    """The files of each class, as "split:name" or "name"."""
    names: dict[str, list[str]] = {}
    for image in found.images:
        split = f"{image.split}:" if image.split else ""
        name = found.taxonomy.classes[image.label]
        names.setdefault(name, []).append(split + image.path.name)
    return names


def groups(found: Collection) -> dict[str, str]:
    """The coarse class of each class."""
    taxonomy = found.taxonomy
    assert taxonomy.coarse is not None
    assert taxonomy.coarse_of is not None
    return {
        name: taxonomy.coarse[group]
        for name, group in zip(taxonomy.classes, taxonomy.coarse_of, strict=True)
    }


def codes(found: Collection) -> set[str]:
    """The codes of the notes."""
    return {note.code for note in found.notes}


def left_out(found: Collection) -> dict[str, str]:
    """Why each file does not count: its format, or the kind of reason."""
    return {each.path.name: each.format or each.kind for each in found.left_out}
