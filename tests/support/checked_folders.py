"""Folders of drawn photos for the data checks, with features that need no network."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from greengrocer.datachecks.contents import TARGET
from greengrocer.datachecks.files import OpenedImage, open_all
from greengrocer.datachecks.thumbnails import Thumbnails, blank_thumbnails
from greengrocer.datasets.dataset import LabelledImage
from greengrocer.datasets.gallery import built_in_gallery
from greengrocer.engines.engine import Floats
from support.planting import digest


def gallery_folder(directory: Path) -> tuple[LabelledImage, ...]:
    """A folder a class, each of one image of the gallery, drawn and before a plain background."""
    found = []
    for label, shown in enumerate(built_in_gallery().pictures):
        path = directory / shown.true_class / shown.path.name
        path.parent.mkdir(parents=True)
        shutil.copyfile(shown.path, path)
        found.append(labelled(path, label))
    return tuple(found)


def labelled(path: Path, label: int) -> LabelledImage:
    """The image at ``path`` with its digest."""
    return LabelledImage(path, label, digest(path.read_bytes()))


def read_thumbnails(images: Sequence[LabelledImage]) -> Thumbnails:
    """The thumbnails of ``images``, as the check takes them."""
    found = blank_thumbnails(len(images))

    def look(index: int, opened: OpenedImage, data: bytes, image: Image.Image) -> None:
        found.add(index, (opened.width, opened.height), data, image)

    assert not open_all([image.path for image in images], 2, look, TARGET).unreadable
    return found


def seen(images: Sequence[LabelledImage]) -> tuple[Floats, Thumbnails]:
    """The thumbnails of ``images``, and their colours and coarse greys as features [N, 448]."""
    thumbnails = read_thumbnails(images)
    count = len(images)
    grey = thumbnails.grey.reshape(count, 16, 4, 16, 4).mean(axis=(2, 4)).reshape(count, 256)
    both = np.concatenate([thumbnails.colour.reshape(count, 192), grey], axis=1)
    return np.asarray(both, np.float32) / np.float32(255), thumbnails


def made_up(labels: Sequence[int], prefix: str = "image") -> tuple[LabelledImage, ...]:
    """Images that are on no disk, with digests of their own."""
    return tuple(
        LabelledImage(Path(f"/photos/{label}/{prefix}-{at}.jpg"), label, digest(f"{at}".encode()))
        for at, label in enumerate(labels)
    )


def no_thumbnails(count: int) -> Thumbnails:
    """Thumbnails of plain grey images that no camera took."""
    return Thumbnails(
        sizes=np.full((count, 2), 300, np.int32),
        grey=np.full((count, 64, 64), 128, np.uint8),
        colour=np.full((count, 8, 8, 3), 128, np.uint8),
        blur=np.full(count, 0.3, np.float32),
        taken=np.full(count, np.nan),
    )


def taken_at(thumbnails: Thumbnails, seconds: Sequence[float]) -> Thumbnails:
    """``thumbnails`` with the camera's times."""
    return replace(thumbnails, taken=np.array(seconds, np.float64))
