import os
from pathlib import Path

import pytest

from greengrocer.serving import processors
from greengrocer.serving.processors import usable_processors


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of eight processors with no quota."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setattr(processors, "CGROUPS", tmp_path)
    monkeypatch.setattr(processors, "MEMBERSHIP", tmp_path / "membership")
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
    limit_as_of_old(machine / "cpu", quota)
    assert usable_processors() == expected


def limit_as_of_old(group: Path, quota: str) -> None:
    """Give a group of the old cgroups a quota."""
    group.mkdir(parents=True)
    (group / "cpu.cfs_quota_us").write_text(quota + "\n")
    (group / "cpu.cfs_period_us").write_text("100000\n")


@pytest.mark.parametrize(
    ("slice_s", "unit_s", "expected"),
    [("max", "200000", 2), ("300000", "max", 3), ("100000", "400000", 1), ("max", "max", 8)],
)
def test_the_least_quota_of_a_unit_and_of_what_it_is_in_counts(
    machine: Path, slice_s: str, unit_s: str, expected: int
) -> None:
    unit = machine / "shop.slice" / "greengrocer.service"
    unit.mkdir(parents=True)
    (unit.parent / "cpu.max").write_text(f"{slice_s} 100000\n")
    (unit / "cpu.max").write_text(f"{unit_s} 100000\n")
    (machine / "membership").write_text("0::/shop.slice/greengrocer.service\n")
    assert usable_processors() == expected


def test_of_the_old_cgroups_that_of_the_processors_counts(machine: Path) -> None:
    limit_as_of_old(machine / "cpu" / "shop.slice", "200000")
    limit_as_of_old(machine / "cpu" / "other.slice", "100000")
    (machine / "membership").write_text("5:memory:/other.slice\n4:cpu,cpuacct:/shop.slice/a\n")
    assert usable_processors() == 2


@pytest.mark.parametrize("told", ["0::/host/path/of/a/container\n", "no membership", "0::none"])
def test_the_root_counts_where_our_path_is_not_there(machine: Path, told: str) -> None:
    (machine / "cpu.max").write_text("200000 100000\n")
    (machine / "membership").write_text(told)
    assert usable_processors() == 2


def test_an_allotment_counts_where_it_is_less(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processors, "_allotted", None)
    processors.allot(3)
    assert usable_processors() == 3
    processors.allot(64)
    assert usable_processors() == 8
    processors.allot(0)
    assert usable_processors() == 1
