"""A library version with a known vulnerability is neither used nor pinned."""

import subprocess
import sys
from pathlib import Path

import pytest
from tools.check_floors import complaints, declared, requirements

from greengrocer.errors import OutdatedLibrary
from greengrocer.minimum_versions import MINIMUM_VERSIONS, check_minimum_versions
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


def test_all_outdated_libraries_are_named_in_one_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, "starlette", "1.5.0")
    install(tmp_path, "h11", "0.16.0rc1")  # not yet the release that fixed it
    install(tmp_path, "onnx", "1.20.1")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(OutdatedLibrary) as refused:
        check_minimum_versions()
    assert "'starlette>=1.5.1' 'h11>=0.16.0'" in str(refused.value)
    assert "onnx" not in str(refused.value)
    with pytest.raises(OutdatedLibrary, match=r"'onnx>=1\.21\.0'"):
        check_minimum_versions({"train"})


def test_the_installed_libraries_have_their_minimum_versions() -> None:
    check_minimum_versions({minimum.extra for minimum in MINIMUM_VERSIONS})


@pytest.mark.parametrize("minimum", MINIMUM_VERSIONS, ids=lambda minimum: minimum.package)
def test_a_requirement_below_its_minimum_version_is_found(minimum: tuple[str, ...]) -> None:
    package, version = minimum[:2]
    assert complaints("here", [f"{package}=={version}", f"{package} >= {version}"]) == []
    for low in (package, f"{package}==0.1", f"{package}>=0.1,<99", f"{package}<99"):
        assert len(complaints("here", [low])) == 1


def test_every_library_with_a_minimum_version_is_pinned_or_declared() -> None:
    """A minimum version of a library that is never installed would have no effect."""
    named = [*requirements(ROOT / "requirements/serve.txt"), *declared(ROOT / "pyproject.toml")]
    for minimum in MINIMUM_VERSIONS:
        assert any(line.startswith(f"{minimum.package}{sign}") for line in named for sign in "=>")


def test_security_md_lists_the_minimum_versions() -> None:
    told = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    for minimum in MINIMUM_VERSIONS:
        assert f"| {minimum.package} | {minimum.version} | {minimum.vulnerability} |\n" in told
