"""Print at the end of a run which groups of long tests (marker ``leg``) ran."""

from collections import Counter
from collections.abc import Generator
from typing import Any

import pytest

LEGS = pytest.StashKey[dict[str, str]]()  # the leg of each test that was collected, by its id
OUTCOMES = ("passed", "failed", "error", "skipped")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Record the legs of the long tests that will run."""
    session.config.stash[LEGS] = {item.nodeid: leg for item in session.items if (leg := _leg(item))}


def _leg(item: pytest.Item) -> str | None:
    mark = item.get_closest_marker("leg")
    return str(mark.args[0]) if mark and item.get_closest_marker("accept") else None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the leg to each report: with several test processes, only reports are sent back."""
    report = yield
    report.leg = _leg(item)  # type: ignore[attr-defined]  # pytest lets reports have more
    return report


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Write one line per leg: its tests by outcome, and why some did not run."""
    if told := lines(config.stash.get(LEGS, {}), terminalreporter.stats):
        terminalreporter.section("legs")
        for line in told:
            terminalreporter.write_line(line)


def lines(legs: dict[str, str], stats: dict[str, list[Any]]) -> list[str]:
    """A line for each leg, by name; ``stats`` are pytest's reports by outcome."""
    told = [report for outcome in OUTCOMES for report in stats.get(outcome, [])]
    legs = legs | {report.nodeid: leg for report in told if (leg := getattr(report, "leg", None))}
    counts: dict[str, Counter[str]] = {leg: Counter() for leg in legs.values()}
    reasons: dict[str, set[str]] = {leg: set() for leg in counts}
    for outcome in OUTCOMES:
        for report in stats.get(outcome, []):
            if report.nodeid in legs and (report.when == "call" or outcome != "passed"):
                leg = legs[report.nodeid]
                counts[leg][outcome] += 1
                if outcome == "skipped":
                    reasons[leg].add(str(report.longrepr[2]).removeprefix("Skipped: "))
    return [_line(leg, counts[leg], reasons[leg]) for leg in sorted(counts)]


def _line(leg: str, count: Counter[str], reasons: set[str]) -> str:
    told = ", ".join(f"{count[outcome]} {outcome}" for outcome in OUTCOMES if count[outcome])
    ran = any(count[outcome] for outcome in OUTCOMES if outcome != "skipped")
    why = f" ({'; '.join(sorted(reasons))})" if reasons else ""
    return f"{leg}: {'run' if ran else 'NOT RUN'}: {told or 'stopped before it'}{why}"
