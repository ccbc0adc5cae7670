"""Real exports, in the dialects of the frameworks, become bundles that answer as before.

Each import proves itself: it is refused where the answers from JPEG files are not the source's,
whose preprocessing ``importing.frameworks`` does in other code.
"""

import json
import re
import shutil
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image

import greengrocer
from greengrocer.bundles.bundle import load_bundle
from greengrocer.bundles.manifest import Manifest
from greengrocer.cli.main import main
from support.exports import (
    CLASSES,
    SIDE,
    Attention,
    Mobile,
    Residual,
    Squeezed,
    add_metadata,
    export,
    keras_graph,
    taught,
)


def bring(model: Path, *flags: object) -> Manifest:
    """The manifest of the bundle that the command makes beside ``model``."""
    out = model.parent / "bundle"
    assert main(["import", str(model), "--out", str(out), *map(str, flags)]) == 0
    return load_bundle(out).manifest


def right(manifest_of: Path, photos: Path) -> int:
    """How many of 30 photos the bundle names rightly."""
    with greengrocer.load(manifest_of / "bundle") as model:
        paths = [path for name in CLASSES for path in sorted((photos / name).iterdir())[:10]]
        return sum(model.predict(path).prediction == path.parent.name for path in paths)


def test_torchvisions_resnet(
    resnet: Path, labels: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "resnet.onnx"
    model.write_bytes(resnet.read_bytes())
    manifest = bring(model, "--labels", labels, "--preset", "torchvision", "--data", photos)
    assert manifest.classes == CLASSES
    assert manifest.geometry.shorter_side == 36
    assert manifest.evidence
    assert manifest.calibrated
    assert manifest.known_threshold is not None
    assert manifest.metrics["held_out_pictures"] == 30
    assert right(tmp_path, photos) >= 28
    with greengrocer.load(tmp_path / "bundle") as loaded:
        answer = loaded.predict(next((photos / "red").iterdir()), evidence=True)
    # 53 x 44 pixels become 43 x 36, of which 32 x 32 in the middle are seen
    assert answer.evidence_box == pytest.approx((6 / 43, 2 / 36, 38 / 43, 34 / 36))
    told = capsys.readouterr().out
    assert "same top-1 on 16 of 16 probes" in told
    apart, alone = map(float, re.findall(r"(\S+) apart from file.* alone (\S+)", told)[0])
    assert apart <= 1e-3
    assert alone <= 1e-4


def test_timms_mobile_network_with_its_config_and_one_image_at_a_time(
    tmp_path: Path, photos: Path
) -> None:
    export(taught(Mobile, 0.5, 0.5), tmp_path / "mobile.onnx", opset=13, batch=1)
    config = {
        "architecture": "mobile",
        "label_names": list(CLASSES),
        "pretrained_cfg": {
            "input_size": [3, SIDE, SIDE],
            "mean": [0.5, 0.5, 0.5],
            "std": [0.5, 0.5, 0.5],
            "interpolation": "bicubic",
            "crop_pct": 0.95,
            "crop_mode": "center",
        },
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    manifest = bring(tmp_path / "mobile.onnx", "--data", photos)
    assert manifest.geometry.resample == "bicubic"
    assert manifest.geometry.shorter_side == 33
    assert manifest.evidence
    batch = onnx.load(tmp_path / "bundle" / "model.onnx").graph.input[0].type.tensor_type.shape
    assert batch.dim[0].dim_param == "N"  # it was fixed, and its layers allow any
    assert right(tmp_path, photos) >= 28


@pytest.mark.parametrize("mean_in_graph", [False, True])
def test_keras_with_channels_last_and_probabilities(
    tmp_path: Path, labels: Path, photos: Path, mean_in_graph: bool
) -> None:
    model = keras_graph(tmp_path / "keras.onnx", mean_in_graph=mean_in_graph)
    preset = "keras-raw" if mean_in_graph else "keras-half"
    manifest = bring(model, "--labels", labels, "--preset", preset, "--data", photos)
    assert not manifest.geometry.antialias
    assert manifest.geometry.shape == "squeeze"
    assert manifest.evidence  # a mean over places of planes that were channels last
    assert right(tmp_path, photos) >= 28


def test_tensors_that_are_called_as_those_of_a_bundle(tmp_path: Path, labels: Path) -> None:
    model = keras_graph(tmp_path / "keras.onnx", output="probabilities")
    renamed = onnx.load(model)
    for node in renamed.graph.node:
        node.input[:] = [{"images": "pixels"}.get(name, name) for name in node.input]
        node.input[:] = [{"pooled": "features"}.get(name, name) for name in node.input]
        node.output[:] = [{"pooled": "features"}.get(name, name) for name in node.output]
    renamed.graph.input[0].name = "pixels"
    onnx.save(renamed, model)
    manifest = bring(model, "--labels", labels, "--preset", "keras-half")
    assert manifest.evidence


def test_photos_that_frameworks_read_in_different_ways_prove_nothing(
    resnet: Path, tmp_path: Path, labels: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Half of each class is transparent PNGs: they judge, and are no probes."""
    mixed = tmp_path / "mixed"
    shutil.copytree(photos, mixed)
    for path in sorted(mixed.rglob("*.jpg"))[::2]:
        with Image.open(path) as opened:
            opened.putalpha(100)
            opened.save(path.with_suffix(".png"))
        path.unlink()
    model = tmp_path / "resnet.onnx"
    model.write_bytes(resnet.read_bytes())
    bring(model, "--labels", labels, "--preset", "torchvision", "--data", mixed)
    told = capsys.readouterr().out
    assert ".jpg " in told
    assert ".png " not in told


def test_ultralytics_with_its_metadata(tmp_path: Path, photos: Path) -> None:
    network = taught(Residual, 0.0, 1.0)
    import torch

    with_softmax = torch.nn.Sequential(network, torch.nn.Softmax(1))
    export(with_softmax, tmp_path / "yolo.onnx")
    names = dict(enumerate(CLASSES))
    metadata = {"task": "classify", "names": str(names), "imgsz": f"[{SIDE}, {SIDE}]"}
    add_metadata(tmp_path / "yolo.onnx", **metadata)
    manifest = bring(tmp_path / "yolo.onnx")
    assert manifest.classes == CLASSES
    assert manifest.geometry.shape == "crop"
    assert manifest.geometry.shorter_side == SIDE
    assert not manifest.calibrated
    assert manifest.known_threshold is None
    assert right(tmp_path, photos) >= 28


def test_hugging_faces_transformer_with_its_configs(tmp_path: Path, photos: Path) -> None:
    export(taught(Attention, 0.5, 0.5), tmp_path / "vit.onnx", batch=1)
    preprocessor = {
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
        "image_processor_type": "ViTImageProcessor",
        "resample": 2,
        "rescale_factor": 1 / 255,
        "size": {"height": SIDE, "width": SIDE},
    }
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    (tmp_path / "config.json").write_text(json.dumps({"id2label": dict(enumerate(CLASSES))}))
    manifest = bring(tmp_path / "vit.onnx", "--data", photos)
    assert manifest.geometry.shape == "squeeze"
    assert not manifest.evidence
    assert manifest.known_threshold is not None  # its features are those of the class token
    assert "stands between" in manifest.provenance["imported"]["evidence"]
    with greengrocer.load(tmp_path / "bundle") as model:
        answer = model.predict(next((photos / "red").iterdir()), evidence=True)
    assert answer.evidence is None
    assert answer.known is not None


def test_a_bare_graph_of_opset_11_with_a_labels_file(
    tmp_path: Path, labels: Path, photos: Path
) -> None:
    export(taught(Residual, 0.4, 0.2), tmp_path / "bare.onnx", opset=11, batch=1)
    flags = ["--labels", labels, "--mean", 0.4, "--std", 0.2, "--data", photos]
    manifest = bring(tmp_path / "bare.onnx", *flags)
    assert manifest.geometry.shape == "squeeze"
    assert manifest.evidence
    assert right(tmp_path, photos) >= 25


def test_a_map_for_each_class_is_its_own_evidence(
    tmp_path: Path, labels: Path, photos: Path
) -> None:
    export(taught(Squeezed), tmp_path / "squeezed.onnx")
    flags = ["--labels", labels, "--mean", 0.45, "--std", 0.225, "--data", photos, "--crop", 1]
    manifest = bring(tmp_path / "squeezed.onnx", *flags)
    assert manifest.evidence
    assert manifest.known_threshold is None  # there are no features below the logits


def test_half_precision_and_letterbox(tmp_path: Path, labels: Path, photos: Path) -> None:
    model = onnx.load(export(taught(Residual), tmp_path / "full.onnx"))
    graph = model.graph
    graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT16
    cast = helper.make_node("Cast", ["input"], ["wide"], to=TensorProto.FLOAT)
    for node in graph.node:
        node.input[:] = ["wide" if name == "input" else name for name in node.input]
    graph.node.insert(0, cast)
    onnx.save(model, tmp_path / "half.onnx")
    flags = ["--labels", labels, "--mean", 0.45, "--std", 0.225, "--shape", "letterbox"]
    manifest = bring(tmp_path / "half.onnx", *flags, "--fill", "114", "--data", photos)
    assert manifest.geometry.fill == (114, 114, 114)
    assert right(tmp_path, photos) >= 25
