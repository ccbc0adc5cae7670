"""The guide for clusters: what it says of options, settings and commands is true."""

import re
import shlex
import subprocess

import pytest

from greengrocer.scale.metrics_port import free_listener
from greengrocer.scale.replicas import ELSEWHERE, Replicas, serve_options
from greengrocer.settings import Settings
from support.documents import ROOT, blocks
from support.ray_cluster import PROGRAMS, build, free_port

GUIDE = ROOT / "docs" / "guides" / "ray-serve.md"
TEXT = GUIDE.read_text(encoding="utf-8")
INCLUDED = re.compile(r"\{literalinclude\} (\S+)")


def test_every_option_that_is_said_to_be_derived_is() -> None:
    options = serve_options(Replicas(), Settings())
    derived = {**options, **options["autoscaling_config"]}
    said = re.findall(r"^\| `(\w+_(?:requests|s))` \|", TEXT, re.MULTILINE)
    assert len(said) > 4
    assert set(said) <= derived.keys()


def test_every_setting_that_is_said_to_be_refused_is() -> None:
    sentence = TEXT[TEXT.index("is refused in `args`") :].partition(".")[0]
    said = set(re.findall(r"`(\w+)`", sentence)) - {"args"}
    assert said
    assert said <= ELSEWHERE.keys()


def test_the_configuration_that_is_shown_is_the_one_that_ships() -> None:
    (shown,) = INCLUDED.findall(TEXT)
    assert (GUIDE.parent / shown).resolve() == ROOT / "deploy" / "ray" / "serve-config.yaml"


def test_the_first_free_port_is_taken() -> None:
    first = free_port()
    with free_listener("127.0.0.1", first) as one, free_listener("127.0.0.1", first) as other:
        assert one.getsockname()[1] == first
        assert other.getsockname()[1] > first


@pytest.mark.accept
def test_every_command_takes_the_flags_that_it_is_given() -> None:
    build()
    words = [
        shlex.split(command)
        for block in blocks(GUIDE)
        if block.language == "sh"
        for command in block.commands()
    ]
    called = [each for each in words if each[0] in ("ray", "serve")]
    assert len(called) > 3
    for program, verb, *rest in called:
        flags = {word.partition("=")[0] for word in rest if word.startswith("--")}
        told = subprocess.run(
            [PROGRAMS / program, verb, "--help"],
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        ).stdout
        assert flags <= set(re.findall(r"--[a-z-]+", told)), (program, verb)
