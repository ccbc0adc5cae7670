import csv
import io
import json
import os
import pty
import shlex
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from greengrocer.cli.answers import tell_in_words
from greengrocer.imaging.formats import suffixes
from greengrocer.ranking import Answer, Level, ModelId, NamedClass, Ranked
from greengrocer.web.schemas import Problem
from support.bare import HEIF, environment
from support.make_images import encoded, jpeg, photo

KINDS = ", ".join(sorted(suffixes()))

Command = Callable[..., CompletedProcess[str]]


@pytest.fixture
def greengrocer_path() -> list[str]:
    """The command's words, for tests that run it in a way of their own."""
    return [sys.executable, "-m", "greengrocer"]


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    """A dark JPEG, a bright PNG."""
    dark, bright = tmp_path / "dark.jpg", tmp_path / "bright.png"
    dark.write_bytes(jpeg(5))
    bright.write_bytes(encoded(photo(1).point(lambda _: 255), "PNG"))
    return [dark, bright]


def test_each_image_is_named_on_a_line(
    greengrocer: Command, onnx_bundle: Path, pictures: list[Path]
) -> None:
    done = greengrocer("predict", *pictures, "--bundle", onnx_bundle)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith(f"{pictures[0]}: grey-0 (")
    assert lines[1].startswith(f"{pictures[1]}: grey-9 (")


def test_json_is_one_object_per_line(
    greengrocer: Command, onnx_bundle: Path, pictures: list[Path]
) -> None:
    done = greengrocer("predict", *pictures, "--bundle", onnx_bundle, "--json", "--top", 3)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [answer["file"] for answer in answers] == list(map(str, pictures))
    assert [answer["prediction"] for answer in answers] == ["grey-0", "grey-9"]
    assert [answer["coarse"]["prediction"] for answer in answers] == ["dark", "light"]
    assert [ranked["class"] for ranked in answers[0]["top"]] == ["grey-0", "grey-1", "grey-2"]
    assert answers[0]["model"] == {"name": "greys", "version": "1"}
    assert "request_id" not in answers[0]


def test_a_bad_file_does_not_fail_the_others(
    greengrocer: Command, onnx_bundle: Path, pictures: list[Path], tmp_path: Path
) -> None:
    broken, missing = tmp_path / "broken.jpg", tmp_path / "missing.jpg"
    broken.write_bytes(jpeg(1)[:300])
    empty = tmp_path / "empty"
    empty.mkdir()
    files = [broken, pictures[0], missing, empty, pictures[1]]
    done = greengrocer("predict", *files, "--bundle", onnx_bundle)
    assert done.returncode == 2
    assert [line.split(": ")[0] for line in done.stdout.splitlines()] == list(map(str, pictures))
    assert done.stderr.splitlines() == [
        f"greengrocer: {broken}: the JPEG is truncated or damaged",
        f"greengrocer: {missing}: No such file or directory",
        f"greengrocer: {empty}: the folder has no image files ({KINDS})",
    ]


def test_the_images_of_a_folder_are_answered_in_order_of_their_names(
    greengrocer: Command, onnx_bundle: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    for number in range(40):
        path = folder / f"{number % 3}" / f"{number:02}.{('jpg', 'JPEG', 'Jpg')[number % 3]}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(int((number % 10 + 0.5) * 25.5)))
    (folder / "notes.txt").write_text("no image")
    done = greengrocer("predict", folder, "--bundle", onnx_bundle, "--json", "--top", 1)
    assert (done.returncode, done.stderr) == (0, "")
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == 40
    files = [Path(answer["file"]) for answer in answers]
    assert files == sorted(files)
    assert [answer["prediction"][-1] for answer in answers] == [path.stem[-1] for path in files]


@pytest.mark.parametrize("form", ["--json", "--csv"])
def test_a_refused_image_has_a_line_too(
    greengrocer: Command, onnx_bundle: Path, pictures: list[Path], tmp_path: Path, form: str
) -> None:
    bad, missing = tmp_path / "a, bad.png", tmp_path / "missing.jpg"
    bad.write_bytes(b"a pear")
    done = greengrocer("predict", bad, pictures[0], missing, "--bundle", onnx_bundle, form)
    assert (done.returncode, done.stderr) == (2, "")
    if form == "--json":
        first, second, third = map(json.loads, done.stdout.splitlines())
        assert (first["code"], first["status"]) == ("unreadable-image", 400)
        absent = {"instance", "request_id", "model"}  # the last, as the fault is the image's
        assert first.keys() == Problem.model_fields.keys() - absent | {"file"}
        assert (first["file"], second["file"]) == (str(bad), str(pictures[0]))
        assert (second["prediction"], third["detail"]) == ("grey-0", "No such file or directory")
    else:
        first, second, third = csv.DictReader(io.StringIO(done.stdout))
        assert (first["file"], first["prediction"]) == (str(bad), "")
        assert "not an image" in first["error"]
        assert (second["prediction"], second["coarse"], second["known"]) == (
            "grey-0",
            "dark",
            "true",
        )
        assert 0.5 < float(second["confidence"]) <= float(second["coarse_confidence"]) <= 1
        assert (second["level"], second["name"], second["error"]) == ("fine", "grey-0", "")
        assert third["error"] == "No such file or directory"


def test_a_closed_pipe_is_no_error(
    greengrocer_path: list[str], onnx_bundle: Path, pictures: list[Path]
) -> None:
    words = [*greengrocer_path, "predict", *map(str, pictures * 200), "--json"]
    command = f"{shlex.join([*words, '--bundle', str(onnx_bundle)])} | head -n 1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["prediction"] == "grey-0"


def test_progress_is_shown_on_a_terminal(
    greengrocer_path: list[str], onnx_bundle: Path, pictures: list[Path]
) -> None:
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    words = [*greengrocer_path, "predict", *map(str, pictures), "--bundle", str(onnx_bundle)]
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=theirs, check=False, timeout=120)
    os.write(theirs, b"END\n")
    shown = b""
    while b"END" not in shown:
        shown += os.read(ours, 1 << 16)
    os.close(theirs)
    os.close(ours)
    assert done.returncode == 0
    assert b"2/2" in shown


def test_a_file_name_that_is_not_utf8_is_printed_with_escapes(
    greengrocer: Command, onnx_bundle: Path, tmp_path: Path
) -> None:
    odd = tmp_path / "caf\udce9.jpg"
    odd.write_bytes(jpeg(5))
    shown = f"{tmp_path}/caf\\xe9.jpg"
    plain, as_json, as_csv = (
        greengrocer("predict", odd, "--bundle", onnx_bundle, *flags)
        for flags in ([], ["--json"], ["--csv"])
    )
    for done in (plain, as_json, as_csv):
        assert (done.returncode, done.stderr) == (0, "")
    assert plain.stdout.startswith(f"{shown}: grey-0")
    assert json.loads(as_json.stdout)["file"] == shown
    assert next(csv.DictReader(io.StringIO(as_csv.stdout)))["file"] == shown


def test_a_file_name_with_a_line_break_is_one_cell(
    greengrocer: Command, onnx_bundle: Path, tmp_path: Path
) -> None:
    odd, other = tmp_path / "a\n,b.jpg", tmp_path / "c.jpg"
    for path in (odd, other):
        path.write_bytes(jpeg(5))
    done = greengrocer("predict", odd, other, "--bundle", onnx_bundle, "--csv")
    rows = list(csv.DictReader(io.StringIO(done.stdout, newline=""), strict=True))
    assert [row["file"] for row in rows] == [str(odd), str(other)]
    assert {row["prediction"] for row in rows} == {"grey-0"}


def too_deep(folder: Path) -> None:
    """Make folders below ``folder`` whose path is too long for the system to open."""
    home = os.open(folder, os.O_RDONLY)
    for _ in range(20):
        os.mkdir("n" * 250, dir_fd=home)
        below = os.open("n" * 250, os.O_RDONLY, dir_fd=home)
        os.close(home)
        home = below
    os.close(home)


def test_a_folder_that_cannot_be_read_is_skipped_with_a_warning(
    greengrocer: Command, onnx_bundle: Path, pictures: list[Path], tmp_path: Path
) -> None:
    too_deep(tmp_path)
    done = greengrocer("predict", tmp_path, "--bundle", onnx_bundle)
    assert done.returncode == 2
    (warning,) = done.stderr.splitlines()
    assert "nnn" in warning
    assert warning.endswith(": the folder cannot be read: skipped")
    found = [line.partition(": ")[0] for line in done.stdout.splitlines()]
    assert found == sorted(map(str, pictures))


def test_where_no_folder_can_be_read_nothing_is_printed(
    greengrocer: Command, onnx_bundle: Path, tmp_path: Path
) -> None:
    too_deep(tmp_path)
    done = greengrocer("predict", tmp_path, "--bundle", onnx_bundle)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1


def test_an_unknown_image_is_called_unknown(
    greengrocer: Command, onnx_bundle: Path, tmp_path: Path
) -> None:
    between = tmp_path / "between.jpg"
    between.write_bytes(jpeg(128))  # between two levels: neither is likely enough
    done = greengrocer("predict", between, "--bundle", onnx_bundle)
    assert done.stdout.startswith(f"{between}: none of the known classes; nearest is grey-5 (")


@pytest.mark.parametrize(
    ("named", "said"),
    [
        (NamedClass(Level.FINE, "Lemon"), "Lemon (70%)"),
        (NamedClass(Level.COARSE, "Citrus"), "Citrus (92%); uncertain: Lemon (70%)"),
        (NamedClass(Level.UNKNOWN, None), "unknown; uncertain: Lemon (70%)"),
    ],
)
@pytest.mark.parametrize("known", [True, None])
def test_a_sentence_says_how_certain_the_answer_is(
    named: NamedClass, said: str, known: bool | None, capsys: pytest.CaptureFixture[str]
) -> None:
    best, coarse, score = Ranked("Lemon", 0.7), Ranked("Citrus", 0.92), None
    answer = Answer(ModelId("shop", "1"), (best,), coarse, known, score, named)
    tell_in_words(Path("photo.heic"), answer)
    assert capsys.readouterr().out == f"photo.heic: {said}\n"


def test_more_classes_than_the_model_has_are_refused(
    greengrocer: Command, onnx_bundle: Path, pictures: list[Path]
) -> None:
    done = greengrocer("predict", pictures[0], "--bundle", onnx_bundle, "--top", 11)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "greengrocer: --top is 11: this model has 10 classes\n"


def test_the_shipped_bundle_answers(
    greengrocer: Command, grocery_bundle: Path, pictures: list[Path]
) -> None:
    assert grocery_bundle.is_dir()
    done = greengrocer("predict", pictures[0])
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{pictures[0]}: ")


def test_control_characters_in_a_file_name_are_escaped(
    greengrocer: Command, onnx_bundle: Path, tmp_path: Path
) -> None:
    evil = tmp_path / "a\x1b[2J\x9b\u202e\nforged.jpg"
    evil.write_bytes(jpeg(5))
    broken = tmp_path / "b\x1b[2J\x9b\u202e\nforged.jpg"
    broken.write_bytes(b"GIF89a")
    for flags in ((), ("--csv",), ("--json",)):
        done = greengrocer("predict", evil, broken, "--bundle", onnx_bundle, *flags)
        assert done.returncode == 2
        for told in (done.stdout, done.stderr):
            assert all(c.isprintable() or c == "\n" for c in told)
        if "--csv" not in flags:  # whose cells may have lines
            assert not [line for line in done.stdout.splitlines() if line.startswith("forged")]
    files = [json.loads(line)["file"] for line in done.stdout.splitlines()]
    assert files == [str(evil), str(broken)]  # to a program they are what they are


def test_pipes_and_devices_are_refused_except_standard_input(
    greengrocer: Command, greengrocer_path: list[str], onnx_bundle: Path, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    long = tmp_path / ("x" * 300)
    paths = (tmp_path / "pipe.jpg", "/dev/zero", long, "/" + "a/" * 2500)
    done = greengrocer("predict", *paths, "--bundle", onnx_bundle)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 4)
    piped = subprocess.run(
        [*greengrocer_path, "predict", "/dev/stdin", "--bundle", onnx_bundle],
        input=jpeg(5),
        capture_output=True,
        check=False,
        timeout=120,
    )
    assert piped.stdout.startswith(b"/dev/stdin: grey-0 ("), piped.stderr


def test_an_empty_path_is_not_the_current_directory(greengrocer: Command) -> None:
    done = greengrocer("predict", "")
    assert done.returncode == 2
    assert "the path is empty" in done.stderr


def test_what_is_skipped_in_a_folder_is_reported_by_kind(
    greengrocer_path: list[str], onnx_bundle: Path, tmp_path: Path
) -> None:
    for name in ("b.avif", "c.tiff", "notes.txt", "e.mp4"):
        (tmp_path / name).write_bytes(b"no image")
    (tmp_path / "a.HEIC").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    (tmp_path / "f").write_bytes(b"GIF89a")
    for name in ("c.jpg", "d", "g.jpg.bak", "h.png", "renamed.heif", ".hidden.jpg"):
        (tmp_path / name).write_bytes(jpeg(100))
    done = subprocess.run(
        [*greengrocer_path, "predict", str(tmp_path), "--bundle", str(onnx_bundle)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **environment(HEIF)},
    )
    kinds = "1 AVIF, 1 GIF, 1 HEIC, 1 MP4, 1 TIFF"
    assert f"{tmp_path}: files in formats that are not read: {kinds}: convert them" in done.stderr
    assert "pip install 'greengrocer[heif]'" in done.stderr
    named = [Path(line.partition(": ")[0]).name for line in done.stdout.splitlines()]
    assert named == ["c.jpg", "d", "g.jpg.bak", "h.png", "renamed.heif"]
