import json
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest

from greengrocer.bundles.manifest import Network, read_manifest, write_manifest
from greengrocer.bundles.trained_on import TRAINED_ON, pack
from support.bundles import digests
from support.commands import mistake
from support.folders import write_folders

Command = Callable[..., CompletedProcess[str]]
FIGURES = {
    *("fine_top1", "coarse_top1", "fine_top5", "macro_f1", "ece", "n"),
    *("known_rate", "answer_precision", "answer_coverage"),
    *("trained_on", "left_out", "unreadable"),
}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Three images, of which the second lies in the wrong folder."""
    return write_folders(tmp_path / "data", {"grey-0": [12], "grey-9": [100, 240]})


def test_a_folder_per_class_is_scored_as_text(
    greengrocer: Command, onnx_bundle: Path, data: Path
) -> None:
    done = greengrocer("evaluate", "--data", data, "--bundle", onnx_bundle)
    assert done.returncode == 0
    assert done.stdout.startswith(f"greys 1 on 3 images of {data}:\n  The bundle ")
    assert "right class                       66.67%" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("  it answers with a class ")


def test_json_holds_every_figure(greengrocer: Command, onnx_bundle: Path, data: Path) -> None:
    done = greengrocer("evaluate", "--data", data, "--bundle", onnx_bundle, "--json")
    scores = json.loads(done.stdout)
    assert set(scores) == FIGURES
    assert set(scores["answer_coverage"]) == {"fine", "coarse", "unknown"}
    assert scores["n"] == 3
    assert (scores["trained_on"], scores["left_out"]) == (None, 0)
    assert scores["fine_top1"] == pytest.approx(2 / 3)
    assert scores["macro_f1"] == pytest.approx((1 + 2 / 3) / 2)


@pytest.fixture
def telling_bundle(onnx_bundle: Path, data: Path, tmp_path: Path) -> Path:
    """The same, trained on the second and the third of the images."""
    bundle = shutil.copytree(onnx_bundle, tmp_path / "telling")
    seen = (data / "grey-9").iterdir()
    (bundle / TRAINED_ON).write_bytes(pack(sha256(p.read_bytes()).hexdigest() for p in seen))
    manifest = read_manifest(bundle)
    files = manifest.files | digests(bundle, TRAINED_ON)
    write_manifest(manifest.model_copy(update={"files": files}), bundle)
    return bundle


def test_training_images_in_the_data_are_reported(
    greengrocer: Command, telling_bundle: Path, data: Path, tmp_path: Path
) -> None:
    command = ("evaluate", "--data", data, "--bundle", telling_bundle)
    done = greengrocer(*command, "--report", tmp_path / "report")
    told = "greys was trained on 2 of these images, so the figures flatter it."
    assert done.stdout.splitlines()[1] == f"  {told}"
    assert told in (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
    scores = json.loads(greengrocer(*command, "--json").stdout)
    assert (scores["n"], scores["trained_on"], scores["left_out"]) == (3, 2, 0)


def test_answers_of_folds_are_shown_only_in_a_report_of_their_own_bundle(
    greengrocer: Command, onnx_bundle: Path, data: Path, tmp_path: Path
) -> None:
    answers = tmp_path / "bundle.out_of_fold.npz"
    truth = np.arange(10)
    logits = np.eye(10, dtype=np.float32)
    np.savez(answers, in_int8=logits, truth=truth, fold=truth % 2)
    command = ("evaluate", "--data", data, "--bundle", onnx_bundle, "--fold-answers", answers)
    assert "add --report DIR" in mistake(greengrocer(*command))
    report = ("--report", tmp_path / "report")
    told = "is not of the training of the bundle greys 1"
    assert told in mistake(greengrocer(*command, *report))
    manifest = read_manifest(onnx_bundle)
    bundle = shutil.copytree(onnx_bundle, tmp_path / "folded")
    network = Network(architecture="efficientnet-lite0", temperature=0.5)
    update = {"network": network, "metrics": {"out_of_fold_top1": 100.0}}
    write_manifest(manifest.model_copy(update=update), bundle)
    done = greengrocer(*command, *report, "--bundle", bundle)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
    assert "10 images of the training, in 2 groups" in page


def test_training_images_are_left_out_even_in_another_folder(
    greengrocer: Command, telling_bundle: Path, data: Path, tmp_path: Path
) -> None:
    for split in ("val", "test"):
        shutil.copytree(data, tmp_path / "moved" / split)
    command = ("evaluate", "--data", tmp_path / "moved", "--bundle", telling_bundle, "--unseen")
    done = greengrocer(*command, "--split", "test")
    assert done.stdout.startswith("greys 1 on 1 images of test:\n")
    assert "trained on none of them: the 2 that it was trained on are left out." in done.stdout
    scores = json.loads(greengrocer(*command, "--json").stdout)
    assert (scores["n"], scores["trained_on"], scores["left_out"]) == (1, 0, 2)


def test_unseen_without_unseen_images_or_a_list_of_them_is_refused_in_one_line(
    greengrocer: Command, telling_bundle: Path, onnx_bundle: Path, data: Path
) -> None:
    done = greengrocer("evaluate", "--data", data, "--bundle", onnx_bundle, "--unseen")
    assert (done.returncode, done.stdout) == (2, "")
    assert "the bundle greys does not say which images trained it: leave out" in done.stderr
    (data / "grey-0" / "012.jpg").unlink()
    done = greengrocer("evaluate", "--data", data, "--bundle", telling_bundle, "--unseen")
    assert (done.returncode, done.stdout) == (2, "")
    assert "greys was trained on all of these 2 images: give others with --data" in done.stderr
    (data / "grey-0" / "text.jpg").write_bytes(b"text")
    said = mistake(greengrocer("evaluate", "--data", data, "--bundle", telling_bundle, "--unseen"))
    assert "nothing is unseen: all 2 readable images trained it; 1 cannot be read, as " in said


def test_classes_that_the_model_lacks_are_refused_in_one_line(
    greengrocer: Command, onnx_bundle: Path, tmp_path: Path
) -> None:
    strange = write_folders(tmp_path / "strange", {"kiwi": [1], "Grey 0": [2], "grey-1": [3]})
    done = greengrocer("evaluate", "--data", strange, "--bundle", onnx_bundle)
    assert (done.returncode, done.stdout) == (2, "")
    assert mistake(done) == (
        "greengrocer: the model greys lacks classes that the data set has: 'Grey 0' (it has "
        "'grey-0'), 'kiwi'; it knows 1 of the 3 classes there: name the folders as the model does, "
        "name another model with --bundle, or leave folders out with --exclude"
    )
    write_folders(tmp_path / "many", {f"class {number}": [number] for number in range(12)})
    done = greengrocer("evaluate", "--data", tmp_path / "many", "--bundle", onnx_bundle)
    assert "'class 7' and 2 more; it knows 0 of the 12 classes" in mistake(done)


def test_images_that_cannot_be_read_are_listed_and_left_out(
    greengrocer: Command, onnx_bundle: Path, data: Path
) -> None:
    (data / "grey-0" / "cut.jpg").write_bytes(b"\xff\xd8\xff")
    (data / "grey-9" / "text.jpg").write_bytes(b"text")
    command = ("evaluate", "--data", data, "--bundle", onnx_bundle)
    done = greengrocer(*command)
    assert done.returncode == 0
    assert done.stdout.startswith("greys 1 on 3 images of ")
    assert "\n  2 images cannot be read: left out\n" in done.stdout
    assert f"left out {data}/grey-0/cut.jpg: " in done.stderr
    assert f"left out {data}/grey-9/text.jpg: " in done.stderr
    scores = json.loads(greengrocer(*command, "--json").stdout)
    assert (scores["n"], len(scores["unreadable"])) == (3, 2)
    assert scores["fine_top1"] == pytest.approx(2 / 3)
    for path in data.rglob("*.jpg"):
        path.write_bytes(b"text")
    assert "none of the 5 images can be read; the first is" in mistake(greengrocer(*command))


def test_a_split_or_a_place_that_is_not_there_is_named_in_one_line(
    greengrocer: Command, onnx_bundle: Path, tmp_path: Path
) -> None:
    data = write_folders(tmp_path / "data", {"train/grey-0": [1], "test/grey-0": [2]})
    done = greengrocer("evaluate", "--data", data, "--bundle", onnx_bundle)
    assert mistake(done).endswith("has no split 'val': it has test and train")
    (image,) = (data / "train" / "grey-0").iterdir()
    done = greengrocer("evaluate", "--data", image, "--bundle", onnx_bundle)
    assert f"{image} is a file: give a folder with a folder for each class" in mistake(done)
    done = greengrocer("evaluate", "--data", data / "dev", "--bundle", onnx_bundle)
    assert "there is no data set at" in mistake(done)


def test_without_a_data_set_the_error_is_one_line(greengrocer: Command) -> None:
    done = greengrocer("evaluate")
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1


def test_a_report_is_written_beside_the_figures(
    greengrocer: Command, onnx_bundle: Path, data: Path, tmp_path: Path
) -> None:
    unknown = write_folders(tmp_path / "unknown", {"anything": [128]})
    page = tmp_path / "new" / "report" / "index.html"
    flags = ("--report", page.parent, "--unknown", unknown, "--json")
    done = greengrocer("evaluate", "--data", data, "--bundle", onnx_bundle, *flags)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["n"] == 3
    assert f"report written to {page}\n" in done.stderr
    written = page.read_text(encoding="utf-8")
    assert "66.7 %" in written
    assert "AUROC" in written


def test_how_many_unknown_images_are_turned_away_is_said(
    greengrocer: Command, onnx_bundle: Path, data: Path, tmp_path: Path
) -> None:
    unknown = write_folders(tmp_path / "unknown", {"anything": [128, 90]})
    command = ("evaluate", "--data", data, "--bundle", onnx_bundle, "--unknown", unknown)
    told = greengrocer(*command).stdout
    assert "  of 2 images that show none of the classes, " in told
    assert "are called unknown (AUROC " in told
    figures = json.loads(greengrocer(*command, "--json").stdout)["unknown"]
    assert set(figures) == {"images", "called_unknown", "auroc"}
    assert figures["images"] == 2


def test_a_folder_without_unknown_images_is_refused_in_one_line(
    greengrocer: Command, onnx_bundle: Path, data: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    flags = ("--report", tmp_path / "report", "--unknown", tmp_path / "empty")
    done = greengrocer("evaluate", "--data", data, "--bundle", onnx_bundle, *flags)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1].endswith("empty holds no images")
