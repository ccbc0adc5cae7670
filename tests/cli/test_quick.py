"""``train --quick``, ``teach`` and ``forget`` as commands, where there is no PyTorch."""

import shutil
import subprocess
import sys
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
    assert lines[0].startswith("left out split/train/lime/cut\\n\\u001b[1m.jpg: ")
    assert lines[1:3] == [
        "it learns from 16 images of the split train, of 2 classes, 8 a class",
        "it does not look at the 8 images of the split test",
    ]
    assert lines[3] == (
        "held out, the 16 images of the split val: 100.0 % right (95 % interval 80.6 to 100.0); "
        "16 of them are in train as well, which flatters"
    )


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
