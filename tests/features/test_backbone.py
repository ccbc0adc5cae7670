import hashlib

import numpy as np
import pytest

from greengrocer.datasets.gallery import built_in_gallery
from greengrocer.features.backbone import (
    CHANNELS,
    GEOMETRY,
    backbone_bytes,
    backbone_digest,
    make_embedder,
)
from greengrocer.imaging.decode import decode
from greengrocer.imaging.geometry import fit
from support.make_images import photo

MAX_BYTES = 6_000_000


def test_it_is_small_and_known_by_its_digest() -> None:
    graph = backbone_bytes()
    assert len(graph) <= MAX_BYTES
    assert hashlib.sha256(graph).hexdigest() == backbone_digest()


def test_a_feature_is_its_mean_over_the_map_and_does_not_depend_on_the_batch() -> None:
    embed = make_embedder(backbone_bytes())
    pixels = np.stack([fit(photo(seed), GEOMETRY) for seed in range(3)])
    together = embed(pixels)
    assert together.shape == (3, CHANNELS)
    assert together.dtype == np.float32
    assert np.isfinite(together).all()
    alone = np.concatenate([embed(each[None]) for each in pixels])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_in_int8_it_says_what_the_float_network_says() -> None:
    torch = pytest.importorskip("torch")
    from greengrocer.networks.efficientnet_lite import EfficientNetLite

    network = EfficientNetLite("efficientnet-lite0")
    network.load_pretrained()
    network.eval()
    shown = built_in_gallery().pictures[::4]
    pixels = np.stack([fit(decode(p.path.read_bytes(), GEOMETRY.size), GEOMETRY) for p in shown])
    with torch.inference_mode():
        planes = torch.from_numpy(pixels).permute(0, 3, 1, 2)
        wanted = network(network.normalise(planes)).mean(dim=(2, 3)).numpy()
    found = make_embedder(backbone_bytes())(pixels)
    lengths = np.linalg.norm(wanted, axis=1) * np.linalg.norm(found, axis=1)
    assert (np.einsum("nd,nd->n", wanted, found) / lengths > 0.97).all()
