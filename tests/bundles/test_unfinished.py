"""Folders of processes that were killed are removed, and no others."""

import subprocess
import sys
from pathlib import Path

from greengrocer.bundles.unfinished import PREFIX, unfinished_folder
from support.servers import clean_environment

HOLDS = """
import sys
from pathlib import Path
from greengrocer.bundles.unfinished import unfinished_folder

with unfinished_folder(Path(sys.argv[1])) as folder:
    (folder / "half").write_text("a bundle")
    print(folder.name, flush=True)
    sys.stdin.read()
"""


def test_it_is_there_for_as_long_as_it_is_used(tmp_path: Path) -> None:
    with unfinished_folder(tmp_path) as folder:
        (folder / "bundle").mkdir()
        assert folder.parent == tmp_path
    assert not list(tmp_path.iterdir())


def test_that_of_a_living_process_stays_and_that_of_a_killed_one_goes(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=clean_environment(),
        text=True,
    ) as process:
        assert process.stdout is not None
        held = tmp_path / process.stdout.readline().strip()
        assert held.name.startswith(PREFIX)
        with unfinished_folder(tmp_path):
            assert (held / "half").exists()
        process.kill()
    with unfinished_folder(tmp_path):
        assert not held.exists()


def test_nothing_else_is_removed(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "photo.jpg").write_text("kept")
    (tmp_path / f"{PREFIX}link").symlink_to(mine)
    (tmp_path / f"{PREFIX}file").write_text("kept")
    with unfinished_folder(tmp_path):
        pass
    assert {path.name for path in tmp_path.iterdir()} == {"mine", f"{PREFIX}link", f"{PREFIX}file"}
    assert (mine / "photo.jpg").read_text() == "kept"
