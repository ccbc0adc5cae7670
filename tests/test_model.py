import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import greengrocer
from greengrocer.datasets.gallery import built_in_gallery
from greengrocer.errors import BundleRefused, ImageRefused, TooManyPixels, UnreadableImage
from greengrocer.model import ImageLike, Model
from greengrocer.ranking import Answer
from support.servers import clean_environment

PICTURE = next(each.path for each in built_in_gallery().pictures if "Lemon" in each.path.name)


@pytest.fixture(scope="module")
def model() -> Iterator[Model]:
    with greengrocer.load("fast") as model:
        yield model


def test_an_image_is_answered_alike_as_path_bytes_pillow_image_and_array(model: Model) -> None:
    shown = Image.open(PICTURE).convert("RGB")
    given: list[ImageLike] = [PICTURE, str(PICTURE), shown, np.asarray(shown)]
    bytes_answer = model.predict(PICTURE.read_bytes())
    assert bytes_answer.prediction == "Lemon"
    for image in given:
        answer = model.predict(image)
        assert answer.prediction == "Lemon"
        assert answer.confidence == pytest.approx(bytes_answer.confidence, abs=0.05)
    assert model.predict(PICTURE) == bytes_answer


def test_a_pillow_image_is_turned_upright_and_blended_over_white(model: Model) -> None:
    shown = Image.open(PICTURE).convert("RGB")
    turned = shown.transpose(Image.Transpose.ROTATE_90)
    turned.getexif()[274] = 6  # it is to be turned clockwise
    layered = shown.copy()
    layered.putalpha(255)
    for image in (turned, layered):
        assert model.predict(image) == model.predict(shown)


def test_a_grey_array_is_accepted(model: Model) -> None:
    grey = Image.open(PICTURE).convert("L")
    assert model.predict(np.asarray(grey)) == model.predict(grey)


def test_top_and_evidence_are_as_requested(model: Model) -> None:
    answer = model.predict(PICTURE, top=3, evidence=True)
    assert len(answer.top) == 3
    assert answer.evidence is not None
    assert answer.evidence.ndim == 2
    (same,) = model.predict_many([PICTURE], top=3, evidence=True)
    assert isinstance(same, Answer)
    assert same.evidence is not None


def test_many_images_are_answered_in_order_and_a_bad_one_fails_alone(model: Model) -> None:
    paths = [each.path for each in built_in_gallery().pictures][:6]
    images: list[ImageLike] = [*paths[:3], b"no image", *paths[3:]]
    outcomes = list(model.predict_many(iter(images), threads=2))
    assert isinstance(outcomes[3], UnreadableImage)
    assert outcomes[:3] + outcomes[4:] == [model.predict(path) for path in paths]


def test_the_refusal_of_a_file_names_it(model: Model, tmp_path: Path) -> None:
    path = tmp_path / "torn.jpg"
    path.write_bytes(PICTURE.read_bytes()[:900])
    for image in (path, str(path)):
        with pytest.raises(UnreadableImage, match=r"torn\.jpg: the "):
            model.predict(image)
    (refusal,) = model.predict_many([path])
    assert str(refusal).startswith(f"{path}: ")


def test_images_are_read_only_a_little_ahead(model: Model) -> None:
    drawn = 0

    def images() -> Iterator[Path]:
        nonlocal drawn
        while True:
            drawn += 1
            yield PICTURE

    answers = model.predict_many(images(), threads=1)
    assert isinstance(next(answers), Answer)
    assert drawn < 10


@pytest.mark.parametrize(
    ("image", "error"),
    [
        (b"", ImageRefused),
        (b"no image", ImageRefused),
        (Path("there/is/none.jpg"), ImageRefused),
        (np.zeros((8, 8, 3), np.float32), TypeError),
        (np.zeros((8, 8, 4), np.uint8), ValueError),
        (np.zeros((0, 8, 3), np.uint8), ValueError),
        ("", ValueError),
        (None, TypeError),
    ],
    ids=["empty", "text", "no file", "floats", "four channels", "no pixels", "no path", "nothing"],
)
def test_what_is_no_image_is_refused(
    model: Model, image: bytes | Path, error: type[Exception]
) -> None:
    with pytest.raises(error):
        model.predict(image)


@pytest.mark.parametrize("size", [(0, 0), (0, 5), (5, 0)])
def test_a_pillow_image_without_pixels_is_refused(model: Model, size: tuple[int, int]) -> None:
    for mode in ("RGB", "L"):
        with pytest.raises(ValueError, match="no pixels"):
            model.predict(Image.new(mode, size))


@pytest.mark.parametrize("shape", [(100_000, 100_000, 3), (100_000, 100_000)])
def test_too_many_pixels_are_refused_before_they_take_memory(
    model: Model, shape: tuple[int, ...]
) -> None:
    array = np.broadcast_to(np.zeros((1,) * len(shape), np.uint8), shape)
    with pytest.raises(TooManyPixels):
        model.predict(array)


def test_a_damaged_pillow_image_fails_alone(model: Model) -> None:
    damaged = Image.open(io.BytesIO(PICTURE.read_bytes()[:2000]))
    first, refused, last = model.predict_many([PICTURE, damaged, PICTURE])
    assert isinstance(refused, UnreadableImage)
    assert first == last


@pytest.mark.parametrize("one", [str(PICTURE), PICTURE, PICTURE.read_bytes()])
def test_one_image_is_not_many(model: Model, one: str | bytes | Path) -> None:
    with pytest.raises(TypeError, match="use predict"):
        model.predict_many(one)  # type: ignore[arg-type]


def test_classes_and_version_are_available(model: Model) -> None:
    assert model.name == "fast"
    assert len(model.classes) == 81
    assert model.coarse_classes is not None
    assert len(model.coarse_classes) == 43


def test_a_missing_bundle_is_refused() -> None:
    with pytest.raises(BundleRefused, match="there is no bundle"):
        greengrocer.load("nothing")


def test_importing_the_package_changes_no_environment_variable_and_loads_nothing() -> None:
    program = (
        "import json, os, sys; before = dict(os.environ), set(sys.modules); import greengrocer;"
        "print(json.dumps([dict(os.environ) == before[0], sorted(set(sys.modules) - before[1])]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        capture_output=True,
        text=True,
        env=clean_environment(),
    )
    same, loaded = json.loads(done.stdout)
    assert same
    ours = {name for name in loaded if name.startswith("greengrocer")}
    assert ours == {"greengrocer", "greengrocer.version"}
    assert {name.partition(".")[0] for name in set(loaded) - ours} <= sys.stdlib_module_names


def test_onnx_runtime_writes_nothing_into_the_home_directory(tmp_path: Path) -> None:
    program = f"import greengrocer; greengrocer.load('fast').predict({str(PICTURE)!r})"
    environment = {k: v for k, v in clean_environment().items() if k != "ORT_DISABLE_TELEMETRY"}
    environment |= {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment)
    assert not [*os.scandir(tmp_path)]


@pytest.mark.parametrize("top", [0, -1, "a", True])
def test_top_is_a_whole_number_from_one(model: Model, top: int) -> None:
    for ask in (model.predict, lambda image, top: model.predict_many([image], top=top)):
        with pytest.raises(ValueError, match="it must be a whole number, 1 or more"):
            ask(PICTURE, top=top)


def test_top_is_at_most_the_number_of_classes_as_in_the_service(model: Model) -> None:
    count = len(model.classes)
    assert len(model.predict(PICTURE, top=count).top) == count
    for ask in (model.predict, lambda image, top: model.predict_many([image], top=top)):
        with pytest.raises(ValueError, match=f"top is {count + 1}: this model has {count} classes"):
            ask(PICTURE, top=count + 1)


def test_a_closed_model_says_so() -> None:
    with greengrocer.load("fast") as closed:
        pass
    with pytest.raises(ValueError, match="the model is closed"):
        closed.predict(PICTURE)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_invalid_orientation_is_ignored(model: Model, orientation: int) -> None:
    shown = Image.open(PICTURE).convert("RGB")
    tagged = shown.copy()
    tagged.getexif()[274] = orientation
    assert model.predict(tagged) == model.predict(shown)


def test_a_yielded_refusal_keeps_no_reference_to_the_image(model: Model) -> None:
    (refusal,) = model.predict_many([b"no image" * 1000])
    assert isinstance(refusal, ImageRefused)
    assert refusal.__traceback__ is None
    assert refusal.__context__ is None


def test_buffers_are_accepted_as_bytes(model: Model) -> None:
    data = PICTURE.read_bytes()
    for image in (bytearray(data), memoryview(data)):
        assert model.predict(image) == model.predict(data)
