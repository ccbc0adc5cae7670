"""The end of a run lists the groups of long tests."""

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

HOOKS = "pytest_collection_finish", "pytest_runtest_makereport", "pytest_terminal_summary"
CONFTEST = f"from support.legs import {', '.join(HOOKS)}"
INI = """
[pytest]
markers =
    accept
    leg(name)
"""
TESTS = """
import pytest

@pytest.mark.accept
@pytest.mark.leg("browser")
def test_browser():
    pytest.skip("there is no chromium")

@pytest.mark.accept
@pytest.mark.leg("soak")
def test_soak():
    pass

@pytest.mark.accept
@pytest.mark.leg("soak")
def test_soak_that_fails():
    assert False

@pytest.mark.accept
@pytest.mark.leg("soak")
@pytest.mark.skipif(True, reason="no disk")
def test_soak_that_is_skipped():
    pass

@pytest.fixture
def broken():
    assert False

@pytest.mark.accept
@pytest.mark.leg("Ray")
def test_broken(broken):
    pass

@pytest.mark.leg("quick")
def test_quick():
    pass

@pytest.mark.accept
def test_of_no_leg():
    pass
"""


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    pytester.makeconftest(CONFTEST)
    pytester.makefile(".ini", pytest=INI)
    pytester.makepyfile(TESTS)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    return pytester


@pytest.mark.accept
@pytest.mark.parametrize("processes", [[], ["-n", "2"]], ids=["one process", "two"])
def test_each_leg_is_listed_with_its_outcome(
    project: pytest.Pytester, processes: list[str]
) -> None:
    done = project.runpytest_subprocess("-m", "accept", *processes)
    done.stdout.fnmatch_lines(
        [
            "*= legs =*",
            "Ray: run: 1 error",
            "browser: NOT RUN: 1 skipped (there is no chromium)",
            "soak: run: 1 passed, 1 failed, 1 skipped (no disk)",
        ],
        consecutive=True,
    )
    done.stdout.no_fnmatch_line("quick: *")


def test_a_leg_that_did_not_run_is_listed_too(project: pytest.Pytester) -> None:
    done = project.runpytest_subprocess("-m", "accept", "-x")
    done.stdout.fnmatch_lines(["Ray: NOT RUN: stopped before it"])


def test_without_long_tests_nothing_is_listed(project: pytest.Pytester) -> None:
    done = project.runpytest_subprocess("-m", "not accept")
    done.stdout.no_fnmatch_line("*legs*")
