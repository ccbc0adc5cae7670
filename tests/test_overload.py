"""The overload benchmark: its generator, the service that refuses, and its arithmetic."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from benchmarks.companion import companion
from benchmarks.processes import service
from benchmarks.scenarios.overload_table import Round, Run, tables

from support.make_images import jpeg
from support.servers import Server

SECONDS = 0.5
RATE = 40.0

CALM = Run(
    sent=100,
    answered=100,
    refused=0,
    latencies=[0.1],
    faults=Counter(),
    service=1.8,
    generator=0.2,
    others=0.0,
    probe=[0.01],
    probe_failures=0,
)
# An image takes 18 ms; (2.0 - 200 x 1 ms - 0.36) / 18 ms = 80 of them are affordable.
LOADED = replace(CALM, sent=300, answered=78, refused=200, service=1.6, generator=0.36)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    for level in (5, 100, 250):
        (tmp_path / f"{level}.jpg").write_bytes(jpeg(level))
    return tmp_path


def test_every_request_is_counted_as_answered_or_missing(
    fake_server: Server, pictures: Path
) -> None:
    with companion("benchmarks.arrivals", str(pictures)) as arrivals:
        arrivals.ask(fake_server.port, RATE, 0, SECONDS)
        seen = arrivals.answer()
    assert seen["sent"] == RATE * SECONDS
    assert seen["faults"] == {}
    assert seen["refused"] == 0
    # What comes when the window has closed is no fault, and does not count.
    assert 0 < len(seen["latencies"]) <= seen["sent"]
    assert min(seen["latencies"]) > 0


@pytest.mark.accept
@pytest.mark.parametrize("processes", [(), ("--workers", "2")])
def test_a_service_that_is_always_full_refuses_everything_and_keeps_running(
    processes: tuple[str, ...], fake_bundle: Path, pictures: Path
) -> None:
    flags = ("--bundle", str(fake_bundle), "--engine", "fake", *processes)
    with (
        service(*flags, always_full=True) as refusing,
        companion("benchmarks.arrivals", str(pictures)) as arrivals,
        companion("benchmarks.probe") as probe,
    ):
        arrivals.ask(refusing.port, RATE, 0, SECONDS)
        probe.ask(refusing.port, 0, SECONDS)
        seen, probed = arrivals.answer(), probe.answer()
    assert seen["refused"] > 0
    assert seen["latencies"] == []
    assert seen["faults"] == {}
    assert probed["latencies"]
    assert probed["failures"] == 0


def test_with_a_stopped_service_every_request_is_a_fault(pictures: Path) -> None:
    with companion("benchmarks.arrivals", str(pictures)) as arrivals:
        arrivals.ask(1, RATE, 0, SECONDS)
        seen = arrivals.answer()
    assert seen["faults"] == {"broken": RATE * SECONDS}


def test_the_affordable_rate_excludes_time_of_refusals_and_generator() -> None:
    one = Round([0.01], CALM, LOADED, refusal_seconds=0.001)
    assert one.affordable == pytest.approx(80)
    assert one.ratio == pytest.approx(78 / 80)
    disturbed = replace(one, overload=replace(LOADED, others=0.36))
    assert disturbed.ratio == pytest.approx(78 / 80)
    assert disturbed.undisturbed_ratio == pytest.approx(78 / 60)


@pytest.mark.parametrize(
    ("overload", "missed"),
    [
        (LOADED, 0),
        (replace(LOADED, answered=70), 1),
        (replace(LOADED, probe=[0.03]), 1),
        (replace(LOADED, probe=[2.0]), 2),
        (replace(LOADED, probe_failures=1), 1),
        (replace(LOADED, faults=Counter({"504": 1})), 1),
        (replace(LOADED, answered=1, faults=Counter(broken=1), probe_failures=1), 3),
    ],
)
def test_the_page_says_which_criteria_are_missed(overload: Run, missed: int) -> None:
    page = tables([Round([0.01], CALM, overload, refusal_seconds=0.001)])
    assert page.count("**not met**") == missed


def test_rounds_that_differ_too_much_are_inconclusive() -> None:
    rounds = [
        Round([0.01], CALM, replace(LOADED, answered=answered), refusal_seconds=0.001)
        for answered in (60, 78, 70, 90)
    ]
    assert "**not shown**" in tables(rounds)
    assert "**not shown**" not in tables(rounds[1:2])
