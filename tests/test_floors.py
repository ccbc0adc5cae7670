"""A library with a known hole: neither served with, nor pinned."""

import subprocess
import sys
from pathlib import Path

import pytest
from tools.check_floors import complaints, declared, requirements

from greengrocer.errors import OutdatedLibrary
from greengrocer.floors import FLOORS, check_floors
from support.libraries import install
from support.servers import clean_environment

ROOT = Path(__file__).parents[1]


def test_an_older_pillow_is_refused_at_the_start(tmp_path: Path) -> None:
    install(tmp_path, "pillow", "12.3.0")
    done = subprocess.run(
        [sys.executable, "-m", "greengrocer", "serve", "--port", "0"],
        env=clean_environment() | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    for said in ("pillow 12.3.0", "CVE-2026-112403", "pip install 'pillow>=13.0.0'"):
        assert said in done.stderr


def test_every_old_library_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "starlette", "1.5.0")
    install(tmp_path, "h11", "0.16.0rc1")  # not yet the release that closed the hole
    install(tmp_path, "onnx", "1.20.1")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(OutdatedLibrary) as refused:
        check_floors()
    assert "'starlette>=1.5.1' 'h11>=0.16.0'" in str(refused.value)
    assert "onnx" not in str(refused.value)
    with pytest.raises(OutdatedLibrary, match=r"'onnx>=1\.21\.0'"):
        check_floors({"train"})


def test_what_is_installed_here_is_above_the_floors() -> None:
    check_floors({floor.extra for floor in FLOORS})


@pytest.mark.parametrize("floor", FLOORS, ids=lambda floor: floor.package)
def test_a_requirement_below_its_floor_is_found(floor: tuple[str, ...]) -> None:
    package, version = floor[:2]
    assert complaints("here", [f"{package}=={version}", f"{package} >= {version}"]) == []
    for low in (package, f"{package}==0.1", f"{package}>=0.1,<99", f"{package}<99"):
        assert len(complaints("here", [low])) == 1


def test_what_every_installation_has_is_pinned_or_declared() -> None:
    """A floor of what nobody installs would guard nothing."""
    named = [*requirements(ROOT / "requirements/serve.txt"), *declared(ROOT / "pyproject.toml")]
    for floor in FLOORS:
        assert any(line.startswith(f"{floor.package}{sign}") for line in named for sign in "=>")


def test_the_floors_that_are_told_are_true() -> None:
    told = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    for floor in FLOORS:
        assert f"| {floor.package} | {floor.version} | {floor.hole} |\n" in told
