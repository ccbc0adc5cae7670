"""Every file of a data set, opened by the decoder that serves: what it is, or why not read."""

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeAlias

from PIL import Image

from greengrocer.datasets.progress import Progress
from greengrocer.errors import ImageRefused
from greengrocer.features.photo_decoder import PhotoDecoder
from greengrocer.imaging.decode import Size
from greengrocer.imaging.formats import read_header
from greengrocer.regular_files import MAX_IMAGE_BYTES, read_regular
from greengrocer.serving.resources import usable_processors

SMALL = (32, 32)  # pixels: all of a file is decoded, but to little


@dataclass(frozen=True)
class OpenedImage:
    """An image that can be read. Sizes are in pixels, as stored."""

    path: Path
    digest: str  # SHA-256 of the file in hexadecimal
    bytes: int
    width: int
    height: int
    format: str


@dataclass(frozen=True)
class UnreadableFile:
    """A file that cannot be read as an image, and why."""

    path: Path
    why: str


@dataclass(frozen=True)
class Opened:
    """Both in the order in which the files were given."""

    images: tuple[OpenedImage, ...]
    unreadable: tuple[UnreadableFile, ...]


# Is called with the index of a file, what it is, its bytes and its upright image in RGB.
Look: TypeAlias = Callable[[int, OpenedImage, bytes, Image.Image], None]


def open_all(
    paths: Sequence[Path],
    threads: int | None = None,
    look: Look | None = None,
    target: Size = SMALL,
) -> Opened:
    """Decode each file on ``threads`` threads, by default one a processor, with progress.

    ``look``, if given, sees each image that can be read, on these threads; a JPEG may be decoded at
    a smaller scale, never below ``target`` pixels. Images take at most ``MEMORY`` bytes together;
    one that needs more alone is unreadable. Each thread holds a file besides, of at most
    ``MAX_IMAGE_BYTES``.
    """
    decoder = PhotoDecoder(target)

    def one(index: int, path: Path) -> OpenedImage | UnreadableFile:
        return _open(path, decoder, look and partial(look, index))

    with ThreadPoolExecutor(threads or usable_processors(), thread_name_prefix="open") as pool:
        try:
            done = pool.map(one, range(len(paths)), paths)
            found = list(Progress(done, "opening", len(paths), unit="image", soon=True))
        finally:
            pool.shutdown(cancel_futures=True)
    return Opened(
        tuple(each for each in found if isinstance(each, OpenedImage)),
        tuple(each for each in found if isinstance(each, UnreadableFile)),
    )


def _open(
    path: Path,
    decoder: PhotoDecoder,
    look: Callable[[OpenedImage, bytes, Image.Image], None] | None,
) -> OpenedImage | UnreadableFile:
    try:
        data = read_regular(path, MAX_IMAGE_BYTES)
        header = read_header(data)
        digest = hashlib.sha256(data).hexdigest()
        size = header.width, header.height
        opened = OpenedImage(path, digest, len(data), *size, format(header.format))
        decoder.use(data, lambda image: look and look(opened, data, image))
    except OSError as error:
        return UnreadableFile(path, error.strerror or str(error))
    except ImageRefused as error:
        return UnreadableFile(path, str(error))
    except MemoryError:
        return UnreadableFile(path, "there is too little memory to decode it")
    return opened
