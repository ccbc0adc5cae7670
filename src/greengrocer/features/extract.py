"""Labelled images on disk to features, on all processors, with a progress bar."""

import hashlib
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from tqdm import tqdm

from greengrocer.engines.engine import Floats
from greengrocer.errors import DatasetUnusable, ImageRefused
from greengrocer.features.backbone import (
    CHANNELS,
    GEOMETRY,
    Embed,
    backbone_bytes,
    backbone_digest,
    make_embedder,
)
from greengrocer.features.cache import FeatureCache
from greengrocer.features.photo_decoder import PhotoDecoder
from greengrocer.imaging.geometry import Geometry, fit
from greengrocer.regular_files import MAX_IMAGE_BYTES, read_regular
from greengrocer.serving.resources import usable_processors


class Extracted(NamedTuple):
    """Of N images: ``features`` float32 [N, channels], and the SHA-256 of each in hexadecimal."""

    features: Floats
    digests: tuple[str, ...]


class Readable(NamedTuple):
    """What can be read of M files: the features of N images, and the file that each one is.

    ``rows`` are places among the files; ``unreadable`` says of every other why it cannot be read.
    """

    extracted: Extracted
    rows: tuple[int, ...]
    unreadable: dict[int, str]


class Embedder:
    """A backbone behind the product's own decoding, with a cache."""

    def __init__(self, graph: bytes, digest: str, geometry: Geometry, channels: int) -> None:
        """``graph`` is an ONNX file and ``digest`` its SHA-256; see ``make_embedder``."""
        self._graph = graph
        self._embed: Embed | None = None
        self._loading = threading.Lock()
        self._geometry = geometry
        self._channels = channels
        self._cache = FeatureCache(digest, channels)
        self._decoder = PhotoDecoder(geometry.decoded_size)

    def extract(self, paths: Sequence[Path], threads: int | None = None) -> Extracted:
        """The features of the images at ``paths``; raises DatasetUnusable for one unreadable."""
        found = self.extract_readable(paths, threads)
        for row, why in found.unreadable.items():
            raise DatasetUnusable(f"{paths[row]}: {why}")
        return found.extracted

    def extract_readable(self, paths: Sequence[Path], threads: int | None = None) -> Readable:
        """The features of all images at ``paths`` that can be read; each is decoded once.

        An image that is in the cache was decoded before, so it is not decoded again.
        """
        with ThreadPoolExecutor(threads or usable_processors(), "features") as pool:
            try:
                found = pool.map(self._one, paths)
                done = list(tqdm(found, "features", len(paths), unit="image", disable=None))
            finally:
                pool.shutdown(cancel_futures=True)
        read = {row: each for row, each in enumerate(done) if not isinstance(each, str)}
        features = np.zeros((len(read), self._channels), np.float32)
        for place, (row, _) in enumerate(read.values()):
            features[place] = row
        extracted = Extracted(features, tuple(digest for _, digest in read.values()))
        unreadable = {row: each for row, each in enumerate(done) if isinstance(each, str)}
        return Readable(extracted, tuple(read), unreadable)

    def features(self, digest: str, image: Image.Image) -> Floats:
        """The features float32 [channels] of one ``image``, by the SHA-256 of its file.

        The image was decoded for the size of the geometry. May be called from several threads.
        """
        kept = self._cache.get(digest)
        return self._compute(digest, image) if kept is None else kept

    def _one(self, path: Path) -> tuple[Floats, str] | str:
        """The features and the SHA-256 of the image at ``path``, or why it cannot be read."""
        try:
            data = read_regular(path, MAX_IMAGE_BYTES)
            digest = hashlib.sha256(data).hexdigest()
            kept = self._cache.get(digest)
            if kept is not None:
                return kept, digest
            return self._decoder.use(data, partial(self._compute, digest)), digest
        except OSError as error:
            return error.strerror or str(error)
        except ImageRefused as error:
            return str(error)
        except MemoryError:
            return "there is too little memory to decode it"

    def _compute(self, digest: str, image: Image.Image) -> Floats:
        found: Floats = self._embedder()(fit(image, self._geometry)[None])[0]
        self._cache.put(digest, found)
        return found

    def _embedder(self) -> Embed:
        """Load the backbone when the first image needs it."""
        with self._loading:
            if self._embed is None:
                self._embed = make_embedder(self._graph)
            return self._embed


def shipped_embedder() -> Embedder:
    """The backbone that ships."""
    return Embedder(backbone_bytes(), backbone_digest(), GEOMETRY, CHANNELS)
