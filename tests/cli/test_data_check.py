import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

from support.commands import mistake
from support.folders import write_folders
from support.layouts import draw

Command = Callable[..., CompletedProcess[str]]


def test_a_person_reads_what_was_found_and_what_to_do(greengrocer: Command, tmp_path: Path) -> None:
    names = ("fruit/apple/1.jpg", "fruit/apple/2.jpg", "roots/leek/3.jpg", "roots/leek/4.jpg")
    data = draw(tmp_path / "photos", *names, "roots/leek/x.mp4")
    (data / "roots" / "leek" / "4.jpg").write_bytes(b"cut off")
    done = greengrocer("data", "check", data, "--files-only")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f"{data}: 3 images of 2 classes in 2 groups, as a folder for each")
    assert lines[2:5] == [
        "  class  group  images",
        "  apple  fruit       2",
        "  leek   roots       1",
    ]
    assert "Warning: 1 image cannot be read: left out" in lines
    assert "  To do: replace or remove them." in lines
    assert any(line.startswith("  roots/leek/4.jpg: the file is not an image") for line in lines)
    assert "Warning: files in formats that are not read: 1 MP4" in lines
    assert lines[-1] == "Ready to train: 3 images of 2 classes."


def test_what_cannot_be_trained_on_ends_with_1(greengrocer: Command, tmp_path: Path) -> None:
    data = write_folders(tmp_path / "photos", {"apple": [1, 2]})
    done = greengrocer("data", "check", data)
    assert done.returncode == 1
    assert "ERROR: there is one class with images that can be read" in done.stdout
    assert done.stdout.splitlines()[-1] == "Not ready to train: 1 error above."
    found = greengrocer("data", "check", data, "--json")
    assert found.returncode == 1
    assert json.loads(found.stdout)["trainable"] is False


def test_where_there_are_no_classes_to_check_it_ends_with_2(
    greengrocer: Command, tmp_path: Path
) -> None:
    assert mistake(greengrocer("data", "check", draw(tmp_path / "photos", "1.jpg", "2.jpg")))


def test_flags_choose_what_counts(greengrocer: Command, tmp_path: Path) -> None:
    names = ("apple/mo/1.jpg", "apple/tu/2.jpg", "pear/mo/3.jpg", "pear/tu/4.jpg", "misc/5.jpg")
    data = draw(tmp_path / "photos", *names)
    assert "--coarse none" in mistake(greengrocer("data", "check", data, "--coarse", "folders"))
    chosen = ("--coarse", "none", "--exclude", "misc", "--json")
    done = greengrocer("data", "check", data, *chosen)
    report = json.loads(done.stdout)
    assert [each["name"] for each in report["classes"]] == ["apple", "pear"]


def test_a_report_is_written_with_the_hold_out(greengrocer: Command, tmp_path: Path) -> None:
    data = draw(tmp_path / "photos", *(f"{name}/{i}.jpg" for name in "ab" for i in range(5)))
    (data / "a" / "torn.jpg").write_bytes(b"torn")
    done = greengrocer("data", "check", data, "--report", "report")
    assert done.returncode == 0, done.stderr
    assert "the report is report/index.html" in done.stderr
    page = (tmp_path / "report" / "index.html").read_text()
    assert "<html" in page
    assert '<li class="path">a/torn.jpg: the file is not an image' in page
    rows = (tmp_path / "report" / "hold-out.csv").read_text().splitlines()
    assert rows[0] == "path,split"
    assert len(rows) == 11
    both = ("--report", "report", "--files-only")
    assert "give one of the two" in mistake(greengrocer("data", "check", data, *both))


def test_mistakes_get_one_line(greengrocer: Command, tmp_path: Path) -> None:
    assert "there is no data set at" in mistake(greengrocer("data", "check", tmp_path / "nowhere"))
    (tmp_path / "bad.csv").write_text("a,b\n1,2\n")
    assert "path and label among them" in mistake(greengrocer("data", "check", "bad.csv"))


def test_evaluate_takes_the_same_layouts(
    greengrocer: Command, onnx_bundle: Path, tmp_path: Path
) -> None:
    data = write_folders(tmp_path / "photos", {"valid/grey-0": [12], "valid/grey-9": [240]})
    done = greengrocer("evaluate", "--data", data, "--bundle", onnx_bundle)
    assert done.stdout.startswith("greys 1 on 2 images of val:\n"), done.stderr
    (data / "list.csv").write_text("file;class\nvalid/grey-9/240.jpg;grey-9\n")
    done = greengrocer("evaluate", "--data", data / "list.csv", "--bundle", onnx_bundle, "--json")
    assert json.loads(done.stdout)["n"] == 1
    (data / "list.csv").write_text("file;class\nvalid/grey-9/240.jpg;grey-9;\nx.jpg;grey-9;dev\n")
    done = greengrocer("evaluate", "--data", data / "list.csv", "--bundle", onnx_bundle, "--json")
    assert json.loads(done.stdout)["n"] == 1
    gone = greengrocer("evaluate", "--data", tmp_path / "x.zip", "--bundle", onnx_bundle)
    assert "x.zip: No such file" in mistake(gone)
