"""What an imported graph answers beside probabilities, and in which precision it ships."""

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from greengrocer.bundles.bundle import load_bundle
from greengrocer.cli.main import main
from greengrocer.engines.engine import Floats
from greengrocer.figures.score import ClassIds
from greengrocer.importing import ladder
from greengrocer.importing.gate import Verdict, judge_int8, measure_speedup
from greengrocer.importing.photos import read_pixels
from support.exports import CLASSES, SIDE


def bring(model: Path, out: Path, *flags: object) -> Path:
    assert main(["import", str(model), "--out", str(out), *map(str, flags)]) == 0
    return out


def run(bundle: Path, paths: list[Path]) -> dict[str, np.ndarray]:
    session = ort.InferenceSession(bundle / "model.onnx", providers=["CPUExecutionProvider"])
    geometry = load_bundle(bundle).manifest.geometry
    names = [each.name for each in session.get_outputs()]
    pixels = np.stack([read_pixels(path, geometry) for path in paths])
    return dict(zip(names, session.run(names, {"pixels": pixels}), strict=True))


def test_evidence_sums_to_the_logits_and_groups_to_their_classes(
    resnet: Path, labels: Path, photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "groups").write_text("red,warm\nblue,cold\ngreen,cold\n")
    flags = ["--labels", labels, "--preset", "torchvision", "--coarse", tmp_path / "groups"]
    bundle = bring(resnet, tmp_path / "bundle", *flags, "--data", photos)
    found = run(bundle, sorted(photos.rglob("*.jpg"))[::7])
    logits = found["evidence"].mean(axis=(1, 2))
    softmax = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert np.allclose(softmax, found["probabilities"], atol=1e-5)
    assert load_bundle(bundle).manifest.coarse == ("cold", "warm")
    cold = found["probabilities"][:, 0] + found["probabilities"][:, 1]
    assert np.allclose(found["coarse"][:, 0], cold, atol=1e-6)
    assert ((found["known_score"] >= 0) & (found["known_score"] <= 1)).all()


def test_the_known_score_turns_away_what_looks_like_no_class(
    resnet: Path, labels: Path, photos: Path, tmp_path: Path
) -> None:
    flags = ["--labels", labels, "--preset", "torchvision", "--data", photos]
    bundle = bring(resnet, tmp_path / "bundle", *flags)
    paths = sorted(photos.rglob("*.jpg"))
    known = run(bundle, paths)["known_score"]
    threshold = load_bundle(bundle).manifest.known_threshold
    assert threshold is not None
    assert (known >= threshold).mean() > 0.9


def test_int8_ships_where_it_is_faster_and_keeps_the_answers(
    resnet: Path,
    labels: Path,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # on this small network it is not: the processor's word is replaced, and nothing else
    monkeypatch.setattr(ladder, "measure_speedup", lambda *_: 2.0)
    flags = ["--labels", labels, "--preset", "torchvision", "--data", photos]
    bundle = bring(resnet, tmp_path / "bundle", *flags)
    manifest = load_bundle(bundle).manifest
    assert manifest.provenance["precision"] == "int8"
    assert "2.00 times as fast here" in manifest.provenance["why"]
    assert manifest.metrics["held_out_int8_agreement"] >= 98
    assert b"QuantizeLinear" in (bundle / "model.onnx").read_bytes()
    (attempt,) = manifest.provenance["attempts"]
    assert attempt["accepted"]
    assert (attempt["speedup"], attempt["calibration_images"]) == (2.0, 30)
    assert "the bundle is int8" in capsys.readouterr().out
    bring(resnet, tmp_path / "float", *flags, "--precision", "float32")
    assert b"QuantizeLinear" not in (tmp_path / "float" / "model.onnx").read_bytes()


def test_where_int8_loses_more_photos_and_then_the_worst_blocks_in_float_are_tried(
    resnet: Path,
    labels: Path,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked: list[Verdict] = []

    def judge(in_float: Floats, in_int8: Floats, truth: ClassIds, speedup: float) -> Verdict:
        verdict = judge_int8(in_float, in_int8, truth, speedup)
        asked.append(verdict)
        return verdict._replace(ships=len(asked) == 3, why=f"verdict {len(asked)}")

    monkeypatch.setattr(ladder, "measure_speedup", lambda *_: 2.0)
    monkeypatch.setattr(ladder, "judge_int8", judge)
    monkeypatch.setattr(ladder, "RANGES", 8)
    flags = ["--labels", labels, "--preset", "torchvision", "--data", photos]
    manifest = load_bundle(bring(resnet, tmp_path / "bundle", *flags)).manifest
    assert manifest.provenance["precision"] == "mixed"
    first, more, mixed = manifest.provenance["attempts"]
    assert [first["calibration_images"], more["calibration_images"]] == [8, 24]
    assert [each["accepted"] for each in (first, more, mixed)] == [False, False, True]
    assert (mixed["precision"], mixed["calibration_images"]) == ("mixed", 8)
    assert mixed["float_blocks"]
    graph = (tmp_path / "bundle" / "model.onnx").read_bytes()
    assert b"QuantizeLinear" in graph
    told = capsys.readouterr().out
    assert f"{', '.join(mixed['float_blocks'])} in float: verdict 3" in told
    assert "the bundle is int8 with some layers in float" in told


def test_int8_that_is_slower_ends_the_search(
    resnet: Path, labels: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ladder, "measure_speedup", lambda *_: 0.8)
    flags = ["--labels", labels, "--preset", "torchvision", "--data", photos]
    manifest = load_bundle(bring(resnet, tmp_path / "bundle", *flags)).manifest
    assert manifest.provenance["precision"] == "float32"
    (attempt,) = manifest.provenance["attempts"]
    assert "not 1.05 times as fast" in attempt["why"]


def logits(answers: list[int]) -> np.ndarray:
    return np.eye(len(CLASSES), dtype=np.float32)[answers]


@pytest.mark.parametrize(
    ("changed", "speedup", "ships", "why"),
    [
        (0, 1.4, True, "keeps the answers"),
        (1, 1.4, True, "keeps the answers"),  # one photo may always be lost
        (9, 1.4, False, "loses more than 0.5 points"),
        (0, 1.0, False, "not 1.05 times as fast"),
    ],
)
def test_the_gate(changed: int, speedup: float, ships: bool, why: str) -> None:
    truth = np.arange(120) % len(CLASSES)
    in_int8 = truth.copy()
    in_int8[:changed] = (in_int8[:changed] + 1) % len(CLASSES)
    verdict = judge_int8(logits(truth.tolist()), logits(in_int8.tolist()), truth, speedup)
    assert verdict.ships is ships
    assert why in verdict.why


def test_int8_that_is_right_elsewhere_does_not_ship() -> None:
    truth = np.arange(120) % len(CLASSES)
    in_float, in_int8 = truth.copy(), truth.copy()
    in_float[:6] = (truth[:6] + 1) % len(CLASSES)
    in_int8[6:12] = (truth[6:12] + 1) % len(CLASSES)
    verdict = judge_int8(logits(in_float.tolist()), logits(in_int8.tolist()), truth, 2.0)
    assert not verdict.ships
    assert "as float does" in verdict.why


def test_the_speed_of_a_graph_beside_itself_is_about_the_same(
    resnet: Path, labels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnx

    monkeypatch.setattr("greengrocer.importing.gate.SECONDS", 0.2)
    bundle = bring(resnet, tmp_path / "b", "--labels", labels, "--preset", "torchvision")
    graph = onnx.load(bundle / "model.onnx")
    assert graph.graph.input[0].type.tensor_type.shape.dim[1].dim_value == SIDE
    assert 0.1 < measure_speedup(graph, graph) < 10
