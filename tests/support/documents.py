"""A document followed as a reader would: its blocks in order, in a clone, against real servers."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from markdown_it import MarkdownIt

from support import bare
from support.servers import Server, clean_environment, start_server

ROOT = Path(__file__).parents[2]
SECONDS = 600.0  # for a command; only a hang takes as long
INCLUDED = "{literalinclude} "
# what tests/docs/test_production.py and, of ts, tests/client look at
ELSEWHERE = {"ini", "yaml", "haproxy", "promql", "ts"}
PROGRAMS = {"js": "node", "sh": "curl"}
SERVE = re.compile(r"((\w+=\S+ )*)(make serve|(\.venv/bin/)?greengrocer serve\b(.*))")


class Block(NamedTuple):
    """A fenced block."""

    language: str
    text: str
    line: int

    def commands(self) -> list[str]:
        """Its command lines, each in one piece, without comments."""
        lines = self.text.replace("\\\n", " ").splitlines()
        return [" ".join(line.split()) for line in lines if line and not line.startswith("#")]


def blocks(document: Path) -> list[Block]:
    """All of a document's fenced blocks."""
    tokens = MarkdownIt().parse(document.read_text(encoding="utf-8"))
    return [
        Block(token.info, token.content, token.map[0] + 1)
        for token in tokens
        if token.type == "fence" and token.map
    ]


class Reader:
    """Follows documents in ``clone``, a directory like a clone of this repository.

    ``instead`` has what is run in the place of a command, or "" for nothing.
    """

    def __init__(self, clone: Path, instead: Mapping[str, str]) -> None:
        self.clone = clone
        self.instead = instead
        self.printed = ""  # by the last command
        self.servers: dict[int, Server] = {}  # by the port that the document names
        self._environment = _furnish(clone)

    def follow(self, document: Path, block: Block) -> None:
        """Do what a block says, and hold what it shows against what came."""
        if block.language == "sh":
            for command in block.commands():
                self.run(self.instead.get(command, command))
        elif block.language == "json":
            assert close(_values(self.printed), _values(block.text)), self.printed
        elif block.language == "text":
            assert self.printed.strip() == block.text.strip()
        elif block.language == "toml":
            self._write(block)
        elif block.language in ("python", "js"):
            self._execute(block)
        elif block.language.startswith(INCLUDED):
            file = document.parent / block.language.removeprefix(INCLUDED)
            (self.clone / file.name).write_text(self._here(file.read_text(encoding="utf-8")))
        else:
            assert block.language in ELSEWHERE, f"{document}, line {block.line}: {block.language}?"

    def run(self, command: str) -> None:
        """Run a command line; a server keeps running."""
        if found := SERVE.fullmatch(command):
            self._serve(shlex.split(found[1]), shlex.split(found[5] or ""))
        elif command:
            self._call(["bash", "-c", self._here(command)])

    def leave(self) -> None:
        """Stop the servers."""
        for server in self.servers.values():
            assert server.stop() == 0, "".join(server.log)

    def _serve(self, variables: list[str], flags: list[str]) -> None:
        environment = dict(each.split("=", 1) for each in variables)
        port = int(environment.get("GREENGROCER_PORT", "8000"))
        if "--port" in flags:
            place = flags.index("--port")
            port = int(flags[place + 1])
            del flags[place : place + 2]
        if port in self.servers:  # a reader stops the one before
            assert self.servers.pop(port).stop() == 0
        found = [str(self.clone / each) if (self.clone / each).exists() else each for each in flags]
        self.servers[port] = start_server(*found, **{**self._environment, **environment})

    def _execute(self, block: Block) -> None:
        """Run a program as a file beside those that the document had the reader write."""
        suffix, program = {"python": ("py", sys.executable), "js": ("mjs", "node")}[block.language]
        file = self.clone / f"block-{block.line}.{suffix}"
        file.write_text(self._here(block.text), encoding="utf-8")
        self._call([program, str(file)])

    def _write(self, block: Block) -> None:
        """A file, whose first line is a comment with its name."""
        name = block.text.splitlines()[0].removeprefix("# ")
        (self.clone / name).write_text(block.text, encoding="utf-8")

    def _call(self, command: list[str]) -> None:
        done = subprocess.run(
            command,
            cwd=self.clone,
            env=clean_environment() | self._environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
        )
        assert done.returncode == 0, f"{command[-1]}\n{done.stdout}{done.stderr}"
        self.printed = done.stdout

    def _here(self, text: str) -> str:
        """The same with the ports on which the servers really listen."""
        for said, server in self.servers.items():
            text = re.sub(rf"(127\.0\.0\.1:|--port ){said}\b", rf"\g<1>{server.port}", text)
        return text


def needs(document: Path) -> None:
    """Skip where a program that the document calls is missing."""
    said = {block.language for block in blocks(document)}
    for program in (PROGRAMS[language] for language in sorted(said & PROGRAMS.keys())):
        needed(program)


def needed(program: str) -> None:
    """Skip where it is missing; where all must be there, let the test fail."""
    if shutil.which(program) is None and "REQUIRE_DEBIAN_PROGRAMS" not in os.environ:
        pytest.skip(f"needs {program}")


def _furnish(clone: Path) -> dict[str, str]:
    """Put there what a reader finds in a clone; returns the environment for its commands."""
    programs, home = clone / ".venv" / "bin", clone / "home"
    programs.mkdir(parents=True)
    home.mkdir(mode=0o700)
    for name, call in (("greengrocer", " -m greengrocer"), ("python", "")):
        (programs / name).write_text(f'#!/bin/sh\nexec {sys.executable}{call} "$@"\n')
        (programs / name).chmod(0o755)
    for name in ("src", "docs", "recipes"):
        (clone / name).symlink_to(ROOT / name)
    shutil.copy(ROOT / "README.md", clone)
    return bare.environment(bare.HEIF) | {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "XDG_RUNTIME_DIR": str(home),
        "XDG_DATA_HOME": str(home),
    }


def _values(text: str) -> list[Any]:
    """The JSON values in ``text``, which may be several, one behind the other."""
    decoder, found, rest = json.JSONDecoder(), [], text.strip()
    while rest:
        value, end = decoder.raw_decode(rest)
        found.append(value)
        rest = rest[end:].strip()
    return found


def close(found: Any, said: Any) -> bool:
    """Equal, but for request ids and what int8 rounds differently on other processors."""
    if isinstance(said, float):
        return abs(float(found) - said) < 0.1
    if isinstance(said, dict):
        keys = said.keys() - {"request_id"}
        return found.keys() == said.keys() and all(close(found[key], said[key]) for key in keys)
    if isinstance(said, list):
        return len(found) == len(said) and all(map(close, found, said))
    return bool(found == said)
