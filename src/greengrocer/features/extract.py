"""Labelled images on disk to features, on all processors, with a progress bar."""

import hashlib
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from tqdm import tqdm

from greengrocer.datasets.dataset import LabelledImage
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
from greengrocer.imaging.decode import decode
from greengrocer.imaging.geometry import Geometry, fit
from greengrocer.regular_files import MAX_IMAGE_BYTES, read_regular
from greengrocer.serving.resources import usable_processors


class Extracted(NamedTuple):
    """Of N images: ``features`` float32 [N, channels], and the SHA-256 of each in hexadecimal."""

    features: Floats
    digests: tuple[str, ...]


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

    def extract(self, paths: Sequence[Path], threads: int | None = None) -> Extracted:
        """The features of the images at ``paths``; raises DatasetUnusable for one unreadable."""
        if not paths:
            return Extracted(np.zeros((0, self._channels), np.float32), ())
        with ThreadPoolExecutor(threads or usable_processors(), "features") as pool:
            try:
                found = pool.map(self._one, paths)
                rows = list(tqdm(found, "features", len(paths), unit="image", disable=None))
            finally:
                pool.shutdown(cancel_futures=True)
        features, digests = zip(*rows, strict=True)
        return Extracted(np.stack(features), digests)

    def features(self, digest: str, decoded: Callable[[], Image.Image]) -> Floats:
        """The features float32 [channels] of one image, by the SHA-256 of its file.

        ``decoded`` gives the image where its features are not in the cache: decoded for the size
        of the geometry. May be called from several threads.
        """
        kept = self._cache.get(digest)
        if kept is not None:
            return kept
        found: Floats = self._embedder()(fit(decoded(), self._geometry)[None])[0]
        self._cache.put(digest, found)
        return found

    def _one(self, path: Path) -> tuple[Floats, str]:
        try:
            data = read_regular(path, MAX_IMAGE_BYTES)
            digest = hashlib.sha256(data).hexdigest()
            return self.features(digest, lambda: decode(data, self._geometry.size)), digest
        except OSError as error:
            raise DatasetUnusable(f"{path}: {error.strerror or error}") from error
        except ImageRefused as error:
            raise DatasetUnusable(f"{path}: {error}") from error

    def _embedder(self) -> Embed:
        """Load the backbone when the first image needs it."""
        with self._loading:
            if self._embed is None:
                self._embed = make_embedder(self._graph)
            return self._embed


def shipped_embedder() -> Embedder:
    """The backbone that ships."""
    return Embedder(backbone_bytes(), backbone_digest(), GEOMETRY, CHANNELS)


def extract(images: Sequence[LabelledImage], *, threads: int | None = None) -> Floats:
    """The features float32 [N, 1280] of ``images``: mean-pooled, not normalised.

    They are kept in the user's cache folder by the digests of the file and of the backbone.
    ``threads`` images are computed at once; by default as many as there are processors. Raises
    DatasetUnusable for an image that cannot be read.
    """
    return shipped_embedder().extract([image.path for image in images], threads).features
