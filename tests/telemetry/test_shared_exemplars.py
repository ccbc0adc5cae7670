"""Exemplars of several processes: the newest of each bucket, whole, in files of fixed size."""

import json
from pathlib import Path

from prometheus_client.mmap_dict import mmap_key
from prometheus_client.samples import Exemplar

from greengrocer.telemetry.shared_exemplars import (
    RECORD,
    RECORDS,
    SUFFIX,
    ExemplarFile,
    read_exemplars,
)


def key(bound: str, route: str = "/predict") -> str:
    """The library's key of a bucket."""
    made: str = mmap_key("seconds", "seconds_bucket", ["route", "le"], [route, bound], "Time.")
    return made


def bucket(bound: str) -> tuple[str, frozenset[tuple[str, str]]]:
    """How it is found."""
    return "seconds_bucket", frozenset({("route", "/predict"), ("le", bound)})


def exemplar(trace: str, when: float) -> Exemplar:
    """One that leads to ``trace``."""
    return Exemplar({"trace_id": trace}, 0.25, when)


def test_the_newest_of_all_processes_is_found(tmp_path: Path) -> None:
    first, second = ExemplarFile(tmp_path, "0"), ExemplarFile(tmp_path, "1")
    first.write(key("0.5"), exemplar("a", 1))
    first.write(key("0.5"), exemplar("b", 3))
    second.write(key("0.5"), exemplar("c", 2))
    second.write(key("1.0"), exemplar("d", 1))
    assert read_exemplars(tmp_path) == {
        bucket("0.5"): exemplar("b", 3),
        bucket("1.0"): exemplar("d", 1),
    }


def test_a_new_process_in_a_slot_starts_without(tmp_path: Path) -> None:
    ExemplarFile(tmp_path, "0").write(key("0.5"), exemplar("a", 1))
    ExemplarFile(tmp_path, "0")
    assert read_exemplars(tmp_path) == {}


def test_one_that_is_being_written_is_left_out_and_those_after_it_are_found(tmp_path: Path) -> None:
    file = ExemplarFile(tmp_path, "0")
    for bound in ("0.5", "1.0"):
        file.write(key(bound), exemplar("a", 1))
    with (tmp_path / f"0{SUFFIX}").open("r+b") as half:
        half.seek(RECORD // 4)
        half.write(b"x")
    assert [*read_exemplars(tmp_path)] == [bucket("1.0")]


def test_a_file_does_not_grow(tmp_path: Path) -> None:
    file = ExemplarFile(tmp_path, "0")
    file.write(key("0.5", "/" * RECORD), exemplar("a", 1))
    assert read_exemplars(tmp_path) == {}
    for number in range(RECORDS + 10):
        file.write(key(json.dumps(number)), exemplar("a", 1))
    assert len(read_exemplars(tmp_path)) == RECORDS
    assert (tmp_path / f"0{SUFFIX}").stat().st_size == RECORD * RECORDS
