"""What memory images and uploads may take: by threads, and never more than the machine has."""

import os
from pathlib import Path

import pytest

from greengrocer.serving import processors
from greengrocer.serving.budgets import MEGA, decode_bytes, upload_bytes, usable_memory

PAGES = {"SC_PAGE_SIZE": 1000, "SC_PHYS_PAGES": 64_000_000}  # 64 GB


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of 64 GB without a limit."""
    monkeypatch.setattr(os, "sysconf", PAGES.__getitem__)
    monkeypatch.setattr(processors, "CGROUPS", tmp_path)
    monkeypatch.setattr(processors, "MEMBERSHIP", tmp_path / "membership")
    return tmp_path


def test_without_a_limit_it_is_the_machines() -> None:
    assert usable_memory() == 64_000 * MEGA


@pytest.mark.parametrize(("text", "expected"), [("max", 64_000), ("3000000000", 3000)])
def test_a_limit_of_the_new_cgroups_counts(machine: Path, text: str, expected: int) -> None:
    (machine / "memory.max").write_text(text + "\n")
    assert usable_memory() == expected * MEGA


@pytest.mark.parametrize(("text", "expected"), [(str(2**63 - 4096), 64_000), ("1000000000", 1000)])
def test_a_limit_of_the_old_cgroups_counts_too(machine: Path, text: str, expected: int) -> None:
    (machine / "memory").mkdir()
    (machine / "memory" / "memory.limit_in_bytes").write_text(text + "\n")
    assert usable_memory() == expected * MEGA


def test_the_least_limit_of_all_groups_around_us_counts(machine: Path) -> None:
    (machine / "membership").write_text("0::/slice/unit\n")
    (machine / "slice" / "unit").mkdir(parents=True)
    (machine / "slice" / "memory.max").write_text("2000000000")
    (machine / "slice" / "unit" / "memory.max").write_text("max")
    assert usable_memory() == 2000 * MEGA


@pytest.mark.parametrize(
    ("threads", "decoding", "uploads"), [(1, 2000, 256), (2, 2000, 256), (64, 8192, 2048)]
)
def test_they_follow_the_threads(threads: int, decoding: int, uploads: int) -> None:
    assert decode_bytes(threads) == decoding * MEGA
    assert upload_bytes(threads, 20 * MEGA) == uploads * MEGA


def test_they_stay_within_the_memory(machine: Path) -> None:
    (machine / "memory.max").write_text("1000000000")
    assert decode_bytes(64) == 600 * MEGA
    assert upload_bytes(64, 20 * MEGA) == 100 * MEGA
    assert upload_bytes(64, 320 * MEGA) == 320 * MEGA  # or no such image would get in
