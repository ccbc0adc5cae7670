import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from support.pictures import encoded, jpeg, photo

Command = Callable[..., CompletedProcess[str]]


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    """A dark JPEG, a bright PNG."""
    dark, bright = tmp_path / "dark.jpg", tmp_path / "bright.png"
    dark.write_bytes(jpeg(5))
    bright.write_bytes(encoded(photo(1).point(lambda _: 255), "PNG"))
    return [dark, bright]


def test_each_picture_is_named_on_a_line(
    greengrocer: Command, onnx_bundle: Path, pictures: list[Path]
) -> None:
    done = greengrocer("predict", *pictures, "--bundle", onnx_bundle)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith(f"{pictures[0]}: grey-0 (")
    assert lines[1].startswith(f"{pictures[1]}: grey-9 (")


def test_json_is_an_object_a_line(
    greengrocer: Command, onnx_bundle: Path, pictures: list[Path]
) -> None:
    done = greengrocer("predict", *pictures, "--bundle", onnx_bundle, "--json", "--top", 3)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [answer["file"] for answer in answers] == list(map(str, pictures))
    assert [answer["prediction"] for answer in answers] == ["grey-0", "grey-9"]
    assert [answer["coarse"]["prediction"] for answer in answers] == ["dark", "light"]
    assert [ranked["class"] for ranked in answers[0]["top"]] == ["grey-0", "grey-1", "grey-2"]
    assert answers[0]["model"] == {"name": "greys", "version": "1"}


def test_a_bad_file_fails_alone(
    greengrocer: Command, onnx_bundle: Path, pictures: list[Path], tmp_path: Path
) -> None:
    broken, missing = tmp_path / "broken.jpg", tmp_path / "missing.jpg"
    broken.write_bytes(jpeg(1)[:300])
    files = [broken, pictures[0], missing, tmp_path, pictures[1]]
    done = greengrocer("predict", *files, "--bundle", onnx_bundle)
    assert done.returncode == 2
    assert [line.split(": ")[0] for line in done.stdout.splitlines()] == list(map(str, pictures))
    assert done.stderr.splitlines() == [
        f"greengrocer: {broken}: the JPEG is truncated or damaged",
        f"greengrocer: {missing}: No such file or directory",
        f"greengrocer: {tmp_path}: Is a directory",
    ]


def test_a_name_that_is_no_text_is_told_all_the_same(
    greengrocer: Command, onnx_bundle: Path, tmp_path: Path
) -> None:
    odd = tmp_path / "caf\udce9.jpg"
    odd.write_bytes(jpeg(5))
    for flags in ([], ["--json"]):
        done = greengrocer("predict", odd, "--bundle", onnx_bundle, *flags)
        assert (done.returncode, done.stderr) == (0, "")
        assert "grey-0" in done.stdout


def test_a_picture_of_nothing_known_is_called_so(
    greengrocer: Command, onnx_bundle: Path, tmp_path: Path
) -> None:
    between = tmp_path / "between.jpg"
    between.write_bytes(jpeg(128))  # between two levels: neither is likely enough
    done = greengrocer("predict", between, "--bundle", onnx_bundle)
    assert done.stdout.startswith(f"{between}: nothing that the model knows; nearest is grey-5 (")


def test_the_shipped_bundle_answers(
    greengrocer: Command, grocery_bundle: Path, pictures: list[Path]
) -> None:
    assert grocery_bundle.is_dir()
    done = greengrocer("predict", pictures[0])
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{pictures[0]}: ")
