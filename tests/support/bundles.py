"""A small bundle that needs no model."""

import hashlib
from pathlib import Path

from fake_engine import FakeEngine
from greengrocer.bundles.manifest import GRAPH, Golden, Manifest, write_manifest
from greengrocer.engines.engine import ONE_THREAD
from greengrocer.imaging.decode import decode
from greengrocer.imaging.geometry import Geometry, fit
from support.make_images import jpeg

CLASSES = tuple(f"grey-{k}" for k in range(10))


def write_fake_bundle(
    directory: Path,
    hierarchy: bool = True,
    version: str = "1",
    classes: tuple[str, ...] = CLASSES,
) -> Path:
    """A bundle for the fake engine: ten levels of grey, in two halves."""
    directory.mkdir(parents=True)
    (directory / GRAPH).write_bytes(b"no graph: the fake engine needs none")
    (directory / "golden.jpg").write_bytes(jpeg(100))
    manifest = Manifest(
        name="greys",
        version=version,
        classes=classes,
        coarse=("dark", "light") if hierarchy else None,
        coarse_of=tuple(k * 2 // len(classes) for k in range(len(classes))) if hierarchy else None,
        geometry=Geometry(width=32, height=32),
        known_threshold=0.5,
        goldens=(Golden(file="golden.jpg", prediction=classes[0], confidence=0.5),),
        golden_tolerance=0.5,
        files=digests(directory, GRAPH, "golden.jpg"),
    )
    pixels = fit(decode(jpeg(100)), manifest.geometry)
    probabilities = (
        FakeEngine(directory, manifest, "cpu", ONE_THREAD).infer(pixels[None]).probabilities[0]
    )
    best = int(probabilities.argmax())
    confidence = float(probabilities[best])
    golden = Golden(file="golden.jpg", prediction=classes[best], confidence=confidence)
    write_manifest(manifest.model_copy(update={"goldens": (golden,)}), directory)
    return directory


def digests(directory: Path, *names: str) -> dict[str, str]:
    """The SHA-256 of files in ``directory``, as a manifest lists them."""
    return {name: hashlib.sha256((directory / name).read_bytes()).hexdigest() for name in names}
