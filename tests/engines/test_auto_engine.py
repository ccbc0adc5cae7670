import logging
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from greengrocer.assemble_pipeline import build_pipeline
from greengrocer.bundles.bundle import load_bundle
from greengrocer.bundles.manifest import read_manifest
from greengrocer.engines import auto_engine
from greengrocer.engines.auto_engine import FASTER, FEWEST, AutoEngine, Times, timed
from greengrocer.engines.engine import ONE_THREAD, Inference
from greengrocer.engines.onnx_engine import OnnxEngine
from greengrocer.errors import BundleRefused
from greengrocer.imaging.geometry import Pixels
from support.engines import CountingEngine
from support.graphs import write_onnx_bundle
from support.live import FailingEngine, engine_of
from support.make_images import jpeg
from support.servers import StartServer

OPENVINO = "greengrocer.engines.openvino_engine"


class Inverted(CountingEngine):
    """Takes black for white."""

    def infer(self, pixels: Pixels, alone: bool = False) -> Inference:
        return super().infer(255 - pixels, alone)


class Doubtful(CountingEngine):
    """Gives the right class, and another known score."""

    def infer(self, pixels: Pixels, alone: bool = False) -> Inference:
        found = super().infer(pixels, alone)
        assert found.known_score is not None
        return found._replace(known_score=found.known_score * np.float32(0.5))


class Unreadable(CountingEngine):
    """Cannot run the graph."""

    def start(self) -> None:
        raise BundleRefused("model.onnx does not load: no such operator")


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_onnx_bundle(tmp_path / "greys")


@pytest.fixture
def without_openvino(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (OPENVINO, "greengrocer.engines.openvino_runtime"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "openvino", None)


def beside(rival: type, monkeypatch: pytest.MonkeyPatch, ratio: float = 0.5) -> None:
    """``rival`` is the engine openvino, and a trial finds ``ratio``."""
    module = ModuleType(OPENVINO)
    vars(module)["OpenVinoEngine"] = rival
    monkeypatch.setitem(sys.modules, OPENVINO, module)
    monkeypatch.setattr(auto_engine, "timed", lambda *_: Times(10.0, 10.0 * ratio, ratio))


def chosen(bundle: Path) -> type:
    engine = AutoEngine(bundle, read_manifest(bundle), "cpu", ONE_THREAD)
    engine.start()
    assert engine._engine is not None
    return type(engine._engine)


@pytest.mark.usefixtures("without_openvino")
def test_without_openvino_it_takes_onnx_and_tries_nothing(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(auto_engine, "timed", None)
    caplog.set_level(logging.INFO)
    assert chosen(bundle) is OnnxEngine
    assert "engine auto takes onnx for greys: the engine openvino needs an extra" in caplog.text


@pytest.mark.parametrize(
    ("ratio", "taken"), [(FASTER, "openvino"), (FASTER + 0.01, "onnx"), (2.0, "onnx")]
)
def test_the_rival_is_taken_where_it_is_clearly_faster(
    bundle: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    ratio: float,
    taken: str,
) -> None:
    beside(CountingEngine, monkeypatch, ratio)
    caplog.set_level(logging.INFO)
    assert chosen(bundle) is (CountingEngine if taken == "openvino" else OnnxEngine)
    (line,) = caplog.messages
    assert line.startswith(f"engine auto takes {taken} for greys: onnx takes 10.00 ms"), line
    assert f"openvino {10 * ratio:.2f} ms (ratio {ratio:.2f}; " in line


@pytest.mark.parametrize(
    ("rival", "why"),
    [
        (Inverted, "the trial of openvino failed: it answers golden.jpg with grey-"),
        (Doubtful, "the trial of openvino failed: its known_score for golden.jpg are 0."),
        (FailingEngine, f"the trial of openvino failed: {FailingEngine.SECRET}"),
        (Unreadable, "model.onnx does not load: no such operator"),
    ],
)
def test_a_rival_that_answers_otherwise_is_not_taken(
    bundle: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    rival: type,
    why: str,
) -> None:
    beside(rival, monkeypatch)
    caplog.set_level(logging.INFO)
    assert chosen(bundle) is OnnxEngine
    assert f"engine auto takes onnx for greys: {why}" in caplog.text


def test_the_engine_that_is_not_taken_is_closed(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[CountingEngine] = []

    def rival(*_: object) -> CountingEngine:
        made.append(engine_of(CountingEngine, bundle))
        return made[-1]

    for ratio in (2.0, 0.5):
        beside(rival, monkeypatch, ratio)  # type: ignore[arg-type]
        engine = AutoEngine(bundle, read_manifest(bundle), "cpu", ONE_THREAD)
        engine.start()
        pixels = np.full((1, 32, 32, 3), 100, np.uint8)
        assert engine.infer(pixels).probabilities.argmax() == 3
        assert made[-1].closed == (ratio == 2.0)
    engine.close()
    assert made[-1].closed


def test_a_trial_runs_both_in_turn_and_compares_medians(bundle: Path) -> None:
    now = 0.0
    order: list[str] = []

    class Timed(CountingEngine):
        name = "rival"
        spends = (0.004, 0.002, 0.001)

        def infer(self, pixels: Pixels, alone: bool = False) -> Inference:
            nonlocal now
            now += self.spends[self.calls % 3]
            order.append(self.name)
            return super().infer(pixels, alone)

    class Ours(Timed):
        name = "ours"
        spends = (0.010, 0.010, 0.004)

    images = [np.full((1, 32, 32, 3), level, np.uint8) for level in (10, 200)]
    times = timed(engine_of(Ours, bundle), engine_of(Timed, bundle), images, lambda: now)
    assert times == pytest.approx((10.0, 2.0, 0.25), rel=0.01)
    assert len(order) >= 2 * FEWEST
    assert order[:4] == ["rival", "ours", "ours", "rival"]


def test_an_answer_of_auto_is_that_of_the_pipeline(bundle: Path) -> None:
    pipeline = build_pipeline(load_bundle(bundle), "auto")
    expected = build_pipeline(load_bundle(bundle))
    from greengrocer.context import Context

    found = [each.classify(jpeg(180), Context()).top[0][0] for each in (pipeline, expected)]
    assert found[0] == found[1]


@pytest.mark.parametrize("workers", [(), ("--workers", "1")])
def test_serve_tells_in_one_line_what_it_took(
    serve: StartServer, bundle: Path, workers: tuple[str, ...]
) -> None:
    server = serve("--engine", "auto", "--bundle", str(bundle), *workers)
    with server.client() as client:
        assert client.post("/predict", files={"file": jpeg(5)}).json()["prediction"] == "grey-0"
    (line,) = [line for line in server.log if "engine auto takes" in line]
    assert "for greys: " in line
