"""Any bad path is an error of one line with exit code 2, and no command hangs."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from support.servers import clean_environment

Command = Callable[..., subprocess.CompletedProcess[str]]
SECONDS = 120  # for all commands on one kind of path; only a hang takes as long
# Runs many command lines in one process, for most of a command's time is its imports.
DRIVER = """
import contextlib, json, os, sys, tempfile
from greengrocer.cli.main import main
for line in sys.stdin:
    told = tempfile.TemporaryFile("w+")
    with contextlib.redirect_stderr(told), contextlib.redirect_stdout(open(os.devnull, "w")):
        try:
            code = main(json.loads(line))
        except SystemExit as ended:
            code = ended.code
        except BaseException as error:
            code = repr(error)[:300]
    told.seek(0)
    print(json.dumps([code, told.read()]), flush=True)
"""
KINDS = ("long", "long name", "directory", "pipe", "endless", "dangling", "circle", "below a file")


def make(kind: str, home: Path) -> str:
    """A path of this kind."""
    path = home / "odd"
    match kind:
        case "long":
            return str(home) + "/a" * 2500
        case "long name":
            return str(home / ("n" * 300))
        case "directory":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case "endless":
            return "/dev/zero"
        case "dangling" | "circle":
            path.symlink_to(path if kind == "circle" else home / "nowhere" / "at all")
        case "below a file":
            path.write_text("a file")
            return str(path / "below")
    return str(path)


def command_lines(odd: str, kind: str, home: Path) -> list[list[str]]:
    """Every flag that takes a path, given ``odd``."""
    recipe = home / "recipe.toml"
    recipe.write_text('name = "a"\nbackbone = "efficientnet-lite0"\n')
    lines = [
        *(["serve", "--port", "0", flag, odd] for flag in ("--config", "--api-keys", "--bundle")),
        ["serve", "--port", "0", "--data", odd],
        [
            "serve",
            "--port",
            "0",
            "--control-socket",
            f"{odd}/s.sock" if kind == "directory" else odd,
        ],
        *(["reload", flag, odd] for flag in ("--config", "--control-socket")),
        *(["keys", what, "--file", odd] for what in ("list",)),
        *(["keys", what, "name", "--file", odd] for what in ("add", "remove")),
        ["info", "--bundle", odd],
        ["predict", odd],
        ["predict", "--bundle", odd, "picture.jpg"],
        ["evaluate", "--data", odd],
        ["evaluate", "--bundle", odd, "--data", str(home)],
        ["data", "download", "--data", str(home / "new"), "--from", odd],
        ["train", "--recipe", odd, "--data", str(home), "--out", str(home / "out")],
        ["train", "--recipe", str(recipe), "--data", odd, "--out", str(home / "out")],
        ["train", "--recipe", str(recipe), "--data", str(home), "--out", odd],
    ]
    if kind == "directory":  # which is what these want, or make
        lines = [line for line in lines if "--control-socket" not in line]
    return lines


def test_a_nul_byte_in_a_setting_is_an_error_of_one_line(
    greengrocer: Command, tmp_path: Path
) -> None:
    config = tmp_path / "greengrocer.toml"
    for name in ("bundle", "data", "control_socket", "api_keys", "host"):
        config.write_text(f'{name} = "a\\u0000b"\nport = 0\n')
        done = greengrocer("serve", "--config", config)
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr


@pytest.mark.parametrize(
    "kind",
    [*KINDS[:1], *(pytest.param(kind, marks=pytest.mark.accept) for kind in KINDS[1:])],
)
def test_any_bad_path_is_an_error_of_one_line(tmp_path: Path, kind: str) -> None:
    odd = make(kind, tmp_path)
    lines = command_lines(odd, kind, tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", DRIVER],
        input="".join(json.dumps(line) + "\n" for line in lines),
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=clean_environment() | {"XDG_DATA_HOME": str(tmp_path / "data-home")},
        check=False,
        timeout=SECONDS,
    )
    outcomes = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(outcomes) == len(lines), done.stderr[-1000:]
    wrong = {
        " ".join(line)[:200]: (code, told[-600:])
        for line, (code, told) in zip(lines, outcomes, strict=True)
        if code != 2 or len(told.splitlines()) != 1 or len(told) > 2100
    }
    assert wrong == {}
