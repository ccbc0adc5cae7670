"""``train --quick``, ``teach`` and ``forget`` as commands, where there is no PyTorch."""

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from quick.conftest import draw
from support.servers import clean_environment

# As where torch is not installed.
WITHOUT_TORCH = (
    "import sys; sys.modules['torch'] = None; "
    "from greengrocer.cli.main import main; sys.exit(main(sys.argv[1:]))"
)
WITHOUT_EXTRA = WITHOUT_TORCH.replace("['torch']", "['onnx']")


def run(
    home: Path, *arguments: object, program: str = WITHOUT_TORCH
) -> subprocess.CompletedProcess[str]:
    environment = clean_environment() | {"XDG_CACHE_HOME": str(home / "cache")}
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=home,
        env=environment,
        check=False,
        timeout=300,
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    draw(home / "fruit", ["apple", "lime", "plum"])
    return home


def test_a_folder_of_photos_becomes_a_bundle_that_is_taught_and_forgets(home: Path) -> None:
    done = run(home, "train", "fruit", "--quick")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "it learns from 24 images, of 3 classes, 8 a class"
    assert lines[1].startswith("held out in turn, 24 of those that it learns from: ")
    assert "95 % interval" in lines[1]
    assert "fine-tuning" in lines[2]
    assert lines[3] == "wrote runs/fruit: try `greengrocer serve --bundle runs/fruit`"

    draw(home / "more", ["quince"])
    taught = run(home, "teach", "--bundle", "runs/fruit", "--class", "Blood orange", "more/quince")
    assert taught.returncode == 0, taught.stderr
    assert taught.stdout.startswith("taught 8 images of Blood orange\n")
    assert "4 classes" in taught.stdout

    answer = run(home, "predict", "--bundle", "runs/fruit", "more/quince/0.jpg")
    assert "Blood orange" in answer.stdout

    image = run(home, "forget", "--bundle", "runs/fruit", "more/quince/0.jpg", "fruit/lime/0.jpg")
    assert image.stdout.startswith("forgot 2 images\n"), image.stderr
    gone = run(home, "forget", "--bundle", "runs/fruit", "--class", "Blood orange")
    assert gone.stdout.startswith("forgot 7 images\n"), gone.stderr
    assert "3 classes" in gone.stdout


def test_a_zip_is_trained_on_with_its_outermost_folders_and_without_what_is_excluded(
    home: Path,
) -> None:
    draw(home / "nested" / "round", ["apple", "plum"])
    draw(home / "nested" / "long", ["lime"])
    draw(home / "nested" / "junk", ["quince"])
    shutil.make_archive(str(home / "nested"), "zip", home / "nested")
    done = run(home, "train", "nested.zip", "--quick", "--coarse", "none", "--exclude", "junk")
    assert done.returncode == 0, done.stderr
    assert "it learns from 24 images, of 2 classes, 8 to 16 a class\n" in done.stdout
    assert "wrote runs/nested:" in done.stdout


def test_it_says_what_it_learns_from_and_what_it_holds_out(home: Path) -> None:
    draw(home / "split" / "train", ["apple", "lime"])
    draw(home / "split" / "valid", ["apple", "lime"])
    draw(home / "split" / "test", ["lime"])
    (home / "split" / "train" / "lime" / "cut\n\x1b[1m.jpg").write_bytes(b"\xff\xd8\xff")
    done = run(home, "train", "split", "--quick")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "warning: 1 image cannot be read: left out"
    assert lines[1].startswith("  train/lime/cut\\n\\u001b[1m.jpg: ")
    lines = lines[3:]
    assert lines[0] == "`greengrocer data check split --report DIR` shows them"
    assert lines[1:3] == [
        "it learns from 16 images of the split train, of 2 classes, 8 a class",
        "it does not look at the 8 images of the split test",
    ]
    assert lines[3] == (
        "held out, the 16 images of the split val: 100.0 % right (95 % interval 80.6 to 100.0); "
        "16 of them are in train as well, which flatters"
    )


def test_it_says_what_it_leaves_out_as_the_check_does(home: Path) -> None:
    """Bounded, with what to do, also for what is not unpacked from an archive."""
    folder = draw(home / "mixed", ["apple", "lime"])
    for number in range(7):
        (folder / "lime" / f"{number}.HEIC").write_bytes(b"\0\0\0\x18ftypheic" + bytes(12))
    os.mkfifo(folder / "lime" / "pipe.jpg")
    (folder / "apple" / "gone.jpg").symlink_to("nowhere")
    shutil.copy(folder / "lime" / "0.jpg", folder / "loose.jpg")
    without = ("--coarse", "none", "--out", "runs/unpacked")
    program = WITHOUT_TORCH.replace("['torch']", "['pillow_heif']")
    done = run(home, "train", "mixed", "--quick", *without[:2], program=program)
    lines = done.stdout.splitlines()
    assert "warning: files in formats that are not read: 7 HEIC" in lines, done.stderr
    assert "  lime/4.HEIC" in lines
    assert "  lime/5.HEIC" not in lines
    assert "  and 2 more" in lines
    assert any("pip install 'greengrocer[heif]'" in line for line in lines)
    assert "  apple/gone.jpg: a link to nothing" in lines
    assert "  lime/pipe.jpg: not a regular file" in lines
    pipe = "remove what is a pipe, a socket or a device"
    assert f"  To do: {pipe}; correct the link or the permission." in lines
    assert "warning: 1 file beside the folders of classes" in lines
    with tarfile.open(home / "mixed.tgz", "w:gz") as tar:
        tar.add(folder, "mixed")
    done = run(home, "train", "mixed.tgz", "--quick", *without)
    assert "warning: 2 paths not unpacked from the archive" in done.stdout, done.stderr
    assert "  mixed/lime/pipe.jpg: not a regular file" in done.stdout


def test_an_out_that_exists_is_refused_before_anything_is_read(home: Path) -> None:
    (home / "taken").mkdir(exist_ok=True)
    done = run(home, "train", "fruit", "--quick", "--out", "taken")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "greengrocer: taken exists: delete it, or name another --out\n"


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("train",), "train which images?"),
        (("train", "fruit"), "pip install 'greengrocer[train]'"),
        (("train", "fruit", "--data", "fruit", "--quick"), "PHOTOS and --data"),
        (("train", "fruit", "--quick", "--recipe", "x.toml"), "--quick has no recipe"),
        (("train", "fruit", "--quick", "--minutes", "5"), "leave out --quick or --minutes"),
        (("train", "fruit", "--quick", "--network", "x"), "leave out --quick or --network"),
        (("train", "fruit", "--quick", "--device", "cuda"), "--quick uses no GPU"),
        (("train", "fruit", "--recipe", "x.toml", "--exclude", "x"), "--recipe reads the folder"),
        (("train", "nowhere.zip", "--quick"), "nowhere.zip: No such file"),
        (("forget", "--bundle", "fruit"), "forget what?"),
        (("forget", "--bundle", "fruit", "--class", "x", "y.jpg"), "give one of the two"),
        (("train", "nowhere", "--quick"), "there is no data set at nowhere"),
        (("teach", "--bundle", "fast", "--class", "x", "fruit/lime"), "name the directory"),
    ],
)
def test_a_mistake_gets_one_line(home: Path, arguments: tuple[str, ...], why: str) -> None:
    done = run(home, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert why in done.stderr
    assert done.stderr.count("\n") == 1


def test_without_the_extra_it_says_what_to_install(home: Path) -> None:
    done = run(home, "train", "fruit", "--quick", program=WITHOUT_EXTRA)
    assert done.returncode == 2
    assert "pip install 'greengrocer[quick]'" in done.stderr
