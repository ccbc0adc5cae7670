"""Real supervisors for the tests of workers."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.bundles import write_fake_bundle
from support.workers import StartWorkers, Workers, start_workers


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A bundle for the fake engine that the test may change."""
    return write_fake_bundle(tmp_path / "bundle")


@pytest.fixture
def supervise(bundle: Path) -> Iterator[StartWorkers]:
    """Start supervisors over an engine that some images crash; they are stopped at the end."""
    started: list[Workers] = []

    def start(count: int, *flags: str) -> Workers:
        usual = ("--bundle", str(bundle), "--engine", "fake", "--threads", "2")
        started.append(start_workers(count, *usual, *flags, poison=True))
        return started[-1]

    yield start
    for workers in started:
        workers.server.stop()
