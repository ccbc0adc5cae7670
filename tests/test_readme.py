"""The README: its commands run, and its answers are those that come."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.servers import Server, start_server

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [
    line for block in re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL) for line in block.splitlines()
]
ANSWERS = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)]
CURLS = [command for command in COMMANDS if command.startswith("curl")]
OURS = [command for command in COMMANDS if command.startswith(".venv/bin/greengrocer")]
OFFLINE = [c for c in OURS if c.split()[1] in ("predict", "info")]


@pytest.fixture(scope="module")
def server(grocery_bundle: Path) -> Iterator[Server]:
    server = start_server("--bundle", str(grocery_bundle))
    yield server
    server.stop()


def run(command: str, cwd: Path) -> str:
    """Run a line of the README with this greengrocer, from a directory like a clone."""
    ours = command.replace(".venv/bin/greengrocer", f"{sys.executable} -m greengrocer")
    done = subprocess.run(
        ["bash", "-c", ours], cwd=cwd, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What the README's commands find around them."""
    (tmp_path / "src").symlink_to(ROOT / "src")
    shutil.copy(ROOT / "README.md", tmp_path)
    return tmp_path


def without_request(document: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key != "request_id"}


def close(found: Any, said: Any) -> bool:
    """Equal, but for what int8 arithmetic rounds differently on other processors."""
    if isinstance(said, float):
        return abs(float(found) - said) < 0.1
    if isinstance(said, dict):
        return found.keys() == said.keys() and all(close(found[k], said[k]) for k in said)
    if isinstance(said, list):
        return len(found) == len(said) and all(map(close, found, said))
    return bool(found == said)


def test_the_first_screen_is_the_sentence_the_command_the_request_and_the_answer() -> None:
    order = [TEXT.index(part) for part in ("tells what", "make serve", "curl", "```json", "![")]
    assert order == sorted(order)
    assert TEXT[: order[-1]].count("\n") < 40


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_every_request_is_answered_and_the_shown_answers_are_true(
    server: Server, clone: Path
) -> None:
    printed = [run(c.replace("http://127.0.0.1:8000", server.url), clone) for c in CURLS]
    documents = [json.loads(text) for text in printed if text]
    prediction, problem = ANSWERS
    assert close(without_request(documents[0]), without_request(prediction))
    assert close(without_request(documents[-1]), without_request(problem))


@pytest.mark.parametrize("command", OFFLINE)
def test_every_offline_command_runs(command: str, clone: Path, grocery_bundle: Path) -> None:
    assert grocery_bundle.is_dir()
    assert run(command, clone)


def test_the_download_and_the_evaluation_run(
    dataset: Path, clone: Path, grocery_bundle: Path
) -> None:
    assert grocery_bundle.is_dir()
    download, evaluate = (next(c for c in OURS if word in c) for word in ("download", "evaluate"))
    run(f"{download} --from {dataset}", clone)
    assert "fine_top1" in run(evaluate.replace("--split test", "--split val"), clone)


def test_every_status_and_code_in_the_table_is_one_that_the_code_has() -> None:
    from greengrocer.web.problems import KINDS

    said = {
        (int(status), code)
        for row in re.findall(r"^\| ([0-9, ]+) \| (.+) \|$", TEXT, re.MULTILINE)
        for status in row[0].split(",")
        for code in re.findall(r"`([a-z-]+)`", row[1])
    }
    ours = {(kind.status, refusal.code) for refusal, kind in KINDS.items() if kind.status != 499}
    assert ours <= said
    assert {code for _, code in said} == {code for _, code in ours}
