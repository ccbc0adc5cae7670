"""The command ``greengrocer keys``."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from greengrocer.web.access.keys import find_name, read_keys
from support.servers import clean_environment


def greengrocer(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "greengrocer", *words],
        capture_output=True,
        text=True,
        env=clean_environment(),
        check=False,
        timeout=60,
    )


def test_a_key_is_printed_once_and_can_be_removed(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    added = greengrocer("keys", "add", "till-1", "--file", str(file))
    assert (added.returncode, len(added.stdout.splitlines())) == (0, 1)
    assert find_name(read_keys(file), added.stdout.strip().encode()) == "till-1"
    assert added.stdout.strip() not in added.stderr
    greengrocer("keys", "add", "till-2", "--file", str(file))
    listed = greengrocer("keys", "list", "--file", str(file))
    assert listed.stdout == "till-1\ntill-2\n"
    assert greengrocer("keys", "remove", "till-1", "--file", str(file)).returncode == 0
    assert list(read_keys(file)) == ["till-2"]


@pytest.mark.parametrize(
    "words",
    [
        ("keys", "add", "till 1", "--file", "keys"),
        ("keys", "remove", "till-1", "--file", "/nowhere/keys"),
        ("keys", "list", "--file", "/nowhere/keys"),
        ("keys", "add", "till-1"),
        ("keys",),
        ("serve", "--port", "0", "--api-keys", "/nowhere/keys"),
        ("serve", "--port", "0", "--api-keys", "/nowhere/keys", "--workers", "2"),
    ],
    ids=" ".join,
)
def test_an_error_is_one_line_with_exit_code_2(words: tuple[str, ...]) -> None:
    done = greengrocer(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("greengrocer")


@pytest.mark.parametrize("to", [">&-", "> /dev/full"])
def test_a_key_that_cannot_be_printed_is_not_stored(tmp_path: Path, to: str) -> None:
    file = tmp_path / "keys"
    command = shlex.join([sys.executable, "-m", "greengrocer", "keys", "add", "till", "--file"])
    done = subprocess.run(
        ["sh", "-c", f"{command} {shlex.quote(str(file))} {to}"],
        stderr=subprocess.PIPE,
        text=True,
        env=clean_environment(),
        check=False,
    )
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "till" not in file.read_text()
