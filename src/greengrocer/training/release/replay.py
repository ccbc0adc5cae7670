"""Does a bundle reproduce its own answers? Only one that does becomes a bundle."""

import shutil
from pathlib import Path

from greengrocer.bundles.bundle import load_bundle
from greengrocer.bundles.self_check import replay_goldens
from greengrocer.engines.engine import ONE_THREAD
from greengrocer.engines.registry import make_engine
from greengrocer.errors import BundleRefused, UsageError
from greengrocer.imaging.decode import decode
from greengrocer.imaging.geometry import fit


def replay(directory: Path) -> None:
    """Replay the goldens of the bundle in ``directory``, as serving does at its start.

    Raises UsageError where an answer is another; the directory is then deleted.
    """
    bundle = load_bundle(directory)
    manifest, geometry = bundle.manifest, bundle.manifest.geometry
    engine = make_engine("onnx", directory, manifest, "cpu", ONE_THREAD)

    def best(image: bytes) -> tuple[str, float]:
        pixels = fit(decode(image, geometry.decoded_size), geometry)
        probabilities = engine.infer(pixels[None], alone=True).probabilities[0]
        label = int(probabilities.argmax())
        return manifest.classes[label], float(probabilities[label])

    try:
        engine.start()
        replay_goldens(bundle, best)
    except BundleRefused as error:
        shutil.rmtree(directory)
        why = str(error).removeprefix(f"bundle {directory}: ")
        raise UsageError(f"the bundle does not reproduce its own answers: {why}") from error
    finally:
        engine.close()
