import os
from pathlib import Path

import pytest

from greengrocer.serving import processors
from greengrocer.serving.processors import usable_processors


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of eight processors with no quota."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setattr(processors, "CGROUP_V2", tmp_path / "cpu.max")
    monkeypatch.setattr(processors, "CGROUP_V1", tmp_path / "cpu")
    return tmp_path


def test_without_a_quota_the_affinity_counts() -> None:
    assert usable_processors() == 8


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("max 100000", 8),
        ("200000 100000", 2),
        ("150000 100000", 2),
        ("10000 100000", 1),
        ("6400000 100000", 8),
        ("nonsense", 8),
    ],
)
def test_a_quota_of_the_new_cgroups_is_rounded_up(machine: Path, text: str, expected: int) -> None:
    (machine / "cpu.max").write_text(text + "\n")
    assert usable_processors() == expected


@pytest.mark.parametrize(("quota", "expected"), [("-1", 8), ("250000", 3)])
def test_a_quota_of_the_old_cgroups_counts_too(machine: Path, quota: str, expected: int) -> None:
    (machine / "cpu").mkdir()
    (machine / "cpu" / "cpu.cfs_quota_us").write_text(quota + "\n")
    (machine / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert usable_processors() == expected


def test_an_allotment_counts_where_it_is_less(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processors, "_allotted", None)
    processors.allot(3)
    assert usable_processors() == 3
    processors.allot(64)
    assert usable_processors() == 8
    processors.allot(0)
    assert usable_processors() == 1
