"""What the process may use: CPUs and memory from its cgroups, threads from both."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from greengrocer.assemble_models import loader
from greengrocer.engines.engine import ONE_THREAD, Threads
from greengrocer.errors import UsageError
from greengrocer.serving import resources
from greengrocer.serving.reloading.origin import Origin
from greengrocer.serving.resources import (
    ENGINE_THREADS,
    MEGA,
    MOST_ALONE,
    decode_bytes,
    engine_threads,
    picture_threads,
    upload_bytes,
    usable_memory,
    usable_processors,
)
from greengrocer.settings import Settings
from greengrocer.telemetry.metrics import Metrics
from support.graphs import write_onnx_bundle

PAGES = {"SC_PAGE_SIZE": 1000, "SC_PHYS_PAGES": 64_000_000}  # 64 GB


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of eight processors and 64 GB without any limit."""
    sysconf = os.sysconf
    monkeypatch.setattr(os, "sysconf", lambda name: PAGES.get(name) or sysconf(name))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setattr(resources, "CGROUPS", tmp_path)
    monkeypatch.setattr(resources, "MEMBERSHIP", tmp_path / "membership")
    return tmp_path


def test_without_a_quota_the_cpu_affinity_is_used() -> None:
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
def test_a_quota_of_cgroups_v2_is_rounded_up(machine: Path, text: str, expected: int) -> None:
    (machine / "cpu.max").write_text(text + "\n")
    assert usable_processors() == expected


@pytest.mark.parametrize(("quota", "expected"), [("-1", 8), ("250000", 3)])
def test_a_quota_of_cgroups_v1_is_used(machine: Path, quota: str, expected: int) -> None:
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
def test_the_lowest_quota_of_a_unit_and_its_parents_is_used(
    machine: Path, slice_s: str, unit_s: str, expected: int
) -> None:
    unit = machine / "shop.slice" / "greengrocer.service"
    unit.mkdir(parents=True)
    (unit.parent / "cpu.max").write_text(f"{slice_s} 100000\n")
    (unit / "cpu.max").write_text(f"{unit_s} 100000\n")
    (machine / "membership").write_text("0::/shop.slice/greengrocer.service\n")
    assert usable_processors() == expected


def test_the_cpu_controller_of_cgroups_v1_is_used(machine: Path) -> None:
    limit_as_of_old(machine / "cpu" / "shop.slice", "200000")
    limit_as_of_old(machine / "cpu" / "other.slice", "100000")
    (machine / "membership").write_text("5:memory:/other.slice\n4:cpu,cpuacct:/shop.slice/a\n")
    assert usable_processors() == 2


@pytest.mark.parametrize("told", ["0::/host/path/of/a/container\n", "no membership", "0::none"])
def test_the_root_cgroup_is_used_if_ours_is_not_found(machine: Path, told: str) -> None:
    (machine / "cpu.max").write_text("200000 100000\n")
    (machine / "membership").write_text(told)
    assert usable_processors() == 2


def test_a_lower_allotment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "_allotted", None)
    resources.allot(3)
    assert usable_processors() == 3
    resources.allot(64)
    assert usable_processors() == 8
    resources.allot(0)
    assert usable_processors() == 1


def test_without_a_limit_the_memory_is_the_machines() -> None:
    assert usable_memory() == 64_000 * MEGA


@pytest.mark.parametrize(("text", "expected"), [("max", 64_000), ("3000000000", 3000)])
def test_a_memory_limit_of_cgroups_v2_is_used(machine: Path, text: str, expected: int) -> None:
    (machine / "memory.max").write_text(text + "\n")
    assert usable_memory() == expected * MEGA


@pytest.mark.parametrize(("text", "expected"), [(str(2**63 - 4096), 64_000), ("1000000000", 1000)])
def test_a_memory_limit_of_cgroups_v1_is_used(machine: Path, text: str, expected: int) -> None:
    (machine / "memory").mkdir()
    (machine / "memory" / "memory.limit_in_bytes").write_text(text + "\n")
    assert usable_memory() == expected * MEGA


def test_the_lowest_memory_limit_of_all_parent_cgroups_is_used(machine: Path) -> None:
    (machine / "membership").write_text("0::/slice/unit\n")
    (machine / "slice" / "unit").mkdir(parents=True)
    (machine / "slice" / "memory.max").write_text("2000000000")
    (machine / "slice" / "unit" / "memory.max").write_text("max")
    assert usable_memory() == 2000 * MEGA


@pytest.mark.parametrize(
    ("threads", "decoding", "uploads"), [(1, 2000, 256), (2, 2000, 256), (64, 8192, 2048)]
)
def test_memory_budgets_grow_with_the_threads(threads: int, decoding: int, uploads: int) -> None:
    assert decode_bytes(threads) == decoding * MEGA
    assert upload_bytes(threads, 20 * MEGA) == uploads * MEGA


def test_memory_budgets_stay_within_the_memory(machine: Path) -> None:
    (machine / "memory.max").write_text("1000000000")
    assert decode_bytes(64) == 600 * MEGA
    assert upload_bytes(64, 20 * MEGA) == 100 * MEGA
    assert upload_bytes(64, 320 * MEGA) == 320 * MEGA  # or no such image would get in


@pytest.fixture
def say(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Set the variable, on a machine of eight processors."""
    monkeypatch.setattr(resources, "usable_processors", lambda: 8)
    monkeypatch.delenv(ENGINE_THREADS, raising=False)
    return lambda text: monkeypatch.setenv(ENGINE_THREADS, text)


def tasks() -> set[str]:
    return {task.name for task in Path("/proc/self/task").iterdir()}


@pytest.mark.usefixtures("say")
def test_every_cpu_has_an_image_and_a_single_image_gets_several_cpus() -> None:
    assert engine_threads() == Threads(each=1, alone=MOST_ALONE, side_by_side=8)
    assert picture_threads() == 8


def test_on_one_cpu_an_image_gets_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "usable_processors", lambda: 1)
    monkeypatch.delenv(ENGINE_THREADS, raising=False)
    assert engine_threads() == ONE_THREAD


@pytest.mark.parametrize(
    ("text", "inside", "side_by_side"), [("1", 1, 8), ("2", 2, 4), ("3", 3, 2), ("9", 9, 1)]
)
def test_the_cpus_are_divided_between_and_within_images(
    say: Callable[[str], None], text: str, inside: int, side_by_side: int
) -> None:
    say(text)
    assert engine_threads() == Threads(inside, inside, side_by_side)
    assert picture_threads() == side_by_side


def test_images_that_wait_for_a_batch_take_no_cpu(say: Callable[[str], None]) -> None:
    assert picture_threads(largest_batch=32) == 8 + 64
    say("2")
    assert picture_threads(largest_batch=32) == 4 + 64


@pytest.mark.parametrize("text", ["0", "-1", "", "many", "1.5", "1025", "²", "1 "])
def test_an_invalid_number_is_refused_in_one_line(say: Callable[[str], None], text: str) -> None:
    say(text)
    with pytest.raises(UsageError, match=f"{ENGINE_THREADS} is ") as refused:
        picture_threads()
    assert "\n" not in str(refused.value)


def test_the_session_has_the_threads_that_the_environment_says(
    say: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bundle = str(write_onnx_bundle(tmp_path / "greys"))

    def begun(inside: int | None) -> int:
        if inside is None:
            monkeypatch.delenv(ENGINE_THREADS)
        else:
            say(str(inside))
        before = tasks()
        load = loader(Settings(), Metrics(), lambda directory: directory)
        pipeline = load(Origin(None, bundle), True).pipeline
        after = tasks()
        pipeline.close()
        return len(after - before)

    begun(1)  # the library may start some of its own, once
    # The thread that brings the image is one of them.
    assert [begun(1), begun(4), begun(None)] == [0, 3, MOST_ALONE - 1]
