import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from greengrocer import __version__
from greengrocer.bundles.float_weights import PACKAGE
from greengrocer.bundles.manifest import WEIGHTS, Manifest, Network, read_manifest
from greengrocer.bundles.save import GoldenImage, Model, save_bundle
from greengrocer.context import Context
from greengrocer.engines.batcher import Batcher, BatchLimits
from greengrocer.engines.engine import ONE_THREAD
from greengrocer.engines.torch_engine import TorchEngine
from greengrocer.errors import BundleRefused, InvalidAnswer, MissingExtra, UsageError
from greengrocer.figures.known_score import PROBABILITY_POWER
from greengrocer.networks.backbone import normalise
from greengrocer.networks.recogniser import Recogniser
from greengrocer.networks.weights import prototypes_to_float16, to_float16
from support.bundles import digests
from support.make_images import jpeg
from support.networks import COARSE_OF, pictures, prototypes, square, untrained
from support.servers import clean_environment

TEMPERATURE = 0.8
WITHOUT = """
import sys
sys.modules[{library!r}] = None
from pathlib import Path
from greengrocer.bundles.manifest import read_manifest
from greengrocer.engines.engine import ONE_THREAD
from greengrocer.engines.registry import make_engine
from greengrocer.errors import MissingExtra
directory = Path(sys.argv[1])
try:
    make_engine("torch", directory, read_manifest(directory), "cpu", ONE_THREAD)
except MissingExtra as error:
    print(error)
"""


@pytest.fixture(scope="module", autouse=True)
def own_threads() -> Iterator[None]:
    """The engine sets the process's number of threads: give it back."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def network() -> Recogniser:
    return untrained()


@pytest.fixture(scope="module")
def saved(network: Recogniser, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with the weights of ``network``."""
    directory = tmp_path_factory.mktemp("untrained")
    picture = directory / "picture.jpg"
    picture.write_bytes(jpeg(100))
    model = Model(
        name="untrained",
        classes=tuple("abcdef"),
        coarse=("x", "y", "z"),
        coarse_of=COARSE_OF,
        geometry=square(64),
        known_threshold=0.5,
        fine_threshold=0.0,
        coarse_threshold=0.0,
        network=Network(architecture="efficientnet-lite0", temperature=TEMPERATURE),
        graph=b"the torch engine needs none",
        weights=to_float16(network) | prototypes_to_float16(prototypes()),
        provenance={},
        metrics={},
    )
    goldens = [GoldenImage(picture, "a", 0.5)]
    save_bundle(model, goldens, directory / "bundle", datetime.now(UTC))
    return directory / "bundle"


@pytest.fixture
def bundle(saved: Path, tmp_path: Path) -> Path:
    """A copy of the bundle, which a test may change."""
    return Path(shutil.copytree(saved, tmp_path / "bundle"))


def started(bundle: Path, device: str = "auto", manifest: Manifest | None = None) -> TorchEngine:
    manifest = manifest or read_manifest(bundle)
    if (bundle / WEIGHTS).exists():  # which a test may have changed
        files = manifest.files | digests(bundle, WEIGHTS)
        manifest = manifest.model_copy(update={"files": files})
    engine = TorchEngine(bundle, manifest, device, ONE_THREAD)
    engine.start()
    return engine


@pytest.fixture
def apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the package of weights keeps those of the bundle "untrained"."""
    home = tmp_path / "packages" / PACKAGE
    (home / "untrained").mkdir(parents=True)
    (home / "__init__.py").touch()
    monkeypatch.syspath_prepend(home.parent)
    yield home / "untrained" / WEIGHTS
    sys.modules.pop(PACKAGE, None)


def test_weights_in_a_separate_package_are_found(bundle: Path, apart: Path) -> None:
    pixels = pictures(1, square(64))
    wanted = started(bundle).infer(pixels)
    (bundle / WEIGHTS).rename(apart)
    np.testing.assert_array_equal(started(bundle).infer(pixels).evidence, wanted.evidence)


def test_separate_weights_of_another_bundle_are_not_used(bundle: Path, apart: Path) -> None:
    apart.write_bytes((bundle / WEIGHTS).read_bytes() + b" ")
    (bundle / WEIGHTS).unlink()
    with pytest.raises(BundleRefused, match=r"has no weights\.safetensors"):
        started(bundle)


def test_missing_weights_of_a_shipped_bundle_name_the_package_to_install(
    bundle: Path, apart: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (bundle / WEIGHTS).unlink()
    monkeypatch.setattr(
        "greengrocer.bundles.float_weights.shipped_bundles", lambda: {"untrained": bundle}
    )
    with pytest.raises(MissingExtra, match=r"pip install 'greengrocer\[torch\]'"):
        started(bundle)
    apart.write_bytes(b"of another version")
    with pytest.raises(BundleRefused, match=f"'greengrocer-weights=={__version__}'"):
        started(bundle)


@torch.inference_mode()
def test_the_engine_answers_as_the_network_does(bundle: Path, network: Recogniser) -> None:
    pixels = pictures(3, square(64))
    found = started(bundle).infer(pixels)
    planes = normalise(torch.tensor(pixels).permute(0, 3, 1, 2))
    logits = network(planes) / TEMPERATURE
    assert found.evidence is not None
    assert found.known_score is not None
    assert found.evidence.shape == (3, 2, 2, 6)
    assert {value.dtype for value in found if value is not None} == {np.dtype("float32")}
    # float16 weights differ from the network's own by up to one part in two thousand
    np.testing.assert_allclose(found.evidence.mean((1, 2)), logits.numpy(), rtol=0, atol=0.05)
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1, atol=1e-6)
    away = network.backbone(planes).mean(dim=(2, 3)) - prototypes().centre
    cosines = torch.nn.functional.cosine_similarity(away[:, None], prototypes().directions, dim=2)
    decided = network(planes).softmax(dim=1).amax(dim=1) ** PROBABILITY_POWER
    score = (cosines.amax(dim=1) * decided).numpy()
    assert score.min() > 0
    np.testing.assert_allclose(found.known_score, score, rtol=0, atol=0.01)
    assert found.coarse is not None
    np.testing.assert_allclose(
        found.coarse[:, 1], found.probabilities[:, 2:5].sum(axis=1), atol=1e-6
    )


def test_a_read_only_image_is_accepted(bundle: Path) -> None:
    pixels = pictures(1, square(64))
    pixels.flags.writeable = False
    assert started(bundle).infer(pixels).probabilities.shape == (1, 6)


def test_several_threads_may_use_the_engine_at_once(bundle: Path) -> None:
    engine, pixels = started(bundle), pictures(4, square(64))
    expected = [engine.infer(pixels[i : i + 1]).probabilities for i in range(4)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda i: engine.infer(pixels[i : i + 1]).probabilities, range(4)))
    np.testing.assert_array_equal(found, expected)


def test_an_answer_does_not_depend_on_its_neighbours_in_a_batch(bundle: Path) -> None:
    engine, pixels = started(bundle), pictures(4, square(64))
    alone = [engine.infer(pixels[i : i + 1]) for i in range(4)]
    batcher = Batcher(engine, BatchLimits(largest=4, wait=60))
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda picture: batcher.infer(picture, Context()), pixels))
    batcher.close()
    for one, expected in zip(found, alone, strict=True):
        for part, expected_part in zip(one, expected, strict=True):
            assert part is not None
            assert expected_part is not None
            np.testing.assert_allclose(part, expected_part, rtol=0, atol=1e-5)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_an_operator_that_fails_is_the_models_fault(bundle: Path) -> None:
    engine = started(bundle)
    four_channels = np.zeros((1, 64, 64, 4), np.uint8)
    with pytest.raises(InvalidAnswer, match=r"the model fails on this image: .*channels"):
        engine.infer(four_channels)


@pytest.mark.parametrize(
    ("raised", "seen"), [(torch.OutOfMemoryError, MemoryError), (TypeError, TypeError)]
)
def test_a_full_gpu_and_a_defect_are_not(
    bundle: Path,
    monkeypatch: pytest.MonkeyPatch,
    raised: type[Exception],
    seen: type[Exception],
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise raised

    engine = started(bundle)
    monkeypatch.setattr(torch, "tensor", fail)
    with pytest.raises(seen):
        engine.infer(np.zeros((1, 64, 64, 3), np.uint8))


def test_no_batches_are_wanted_on_a_cpu(bundle: Path) -> None:
    assert started(bundle).largest_batch == 1


def test_a_bundle_without_float_weights_is_refused_with_advice(bundle: Path) -> None:
    (bundle / WEIGHTS).unlink()
    with pytest.raises(BundleRefused, match=r"no weights\.safetensors, .* onnx"):
        started(bundle)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:1000])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def of_another_network(path: Path) -> None:
    save_file({"head.bias": np.zeros(6, np.float16)}, path)


def for_more_classes(path: Path) -> None:
    save_file(to_float16(untrained(classes=7)) | prototypes_to_float16(prototypes()), path)


@pytest.mark.parametrize("damage", [cut_short, emptied, of_another_network, for_more_classes])
def test_weights_that_do_not_fit_are_refused_in_one_line(
    bundle: Path, damage: Callable[[Path], None]
) -> None:
    damage(bundle / WEIGHTS)
    with pytest.raises(BundleRefused, match=r"weights\.safetensors: ") as refusal:
        started(bundle)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("described", [None, Network(architecture="resnet-9000", temperature=1)])
def test_a_manifest_that_names_no_known_network_is_refused(
    bundle: Path, described: Network | None
) -> None:
    manifest = read_manifest(bundle).model_copy(update={"network": described})
    with pytest.raises(BundleRefused, match="does not know the manifest's network"):
        started(bundle, manifest=manifest)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_cuda_without_a_gpu_is_refused(bundle: Path) -> None:
    with pytest.raises(UsageError, match="there is no GPU"):
        started(bundle, "cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_a_gpu_answers_as_the_cpu_does(bundle: Path) -> None:
    pixels = pictures(3, square(64))
    expected = started(bundle, "cpu").infer(pixels)
    found = started(bundle, "cuda").infer(pixels)
    np.testing.assert_allclose(found.probabilities, expected.probabilities, rtol=0, atol=1e-2)
    assert started(bundle, "cuda").largest_batch > 1


def test_an_unknown_device_is_refused(bundle: Path) -> None:
    with pytest.raises(UsageError, match="no device 'tpu'"):
        started(bundle, "tpu")


@pytest.mark.parametrize("library", ["torch", "safetensors"])
def test_a_missing_library_is_named_with_its_extra(bundle: Path, library: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT.format(library=library), str(bundle)],
        capture_output=True,
        text=True,
        env=clean_environment(),
        check=True,
        timeout=120,
    )
    assert "the torch engine needs an extra: pip install 'greengrocer[torch]'" in done.stdout
