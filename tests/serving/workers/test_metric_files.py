"""The files in which the processes of a service share their metrics."""

import os
import subprocess
import sys
from pathlib import Path

from greengrocer.serving.workers.runtime_directory import METRIC_KINDS, METRICS, reserve_metrics
from greengrocer.telemetry.metrics import SHARED_DIRECTORY

SLOT = "one"
COUNT = """
from greengrocer.telemetry.metrics import Metrics, take_slot

take_slot("one")
metrics = Metrics("greys", "1")
metrics.misses("shop")
metrics.answered("/predict", 200, 0.1)
metrics.predicted("greys", 0.1, True)
metrics.batched([0.1])
metrics.shadowed("greys", "greys@next", "same")
metrics.compared("greys", "greys", 0.5, 0.1)
print(*{family.type for family in metrics.registry.collect()} - {"gauge"})
"""


def test_all_files_of_metrics_are_reserved(tmp_path: Path) -> None:
    """Those of the library: the file of exemplars is written as a whole at the start."""
    directory = tmp_path / METRICS
    directory.mkdir()
    reserve_metrics(tmp_path, SLOT)
    before = {path.name: path.stat().st_size for path in directory.glob("*.db")}
    counted = subprocess.run(
        [sys.executable, "-c", COUNT],
        env={**os.environ, SHARED_DIRECTORY: str(directory)},
        check=True,
        capture_output=True,
        text=True,
    )
    assert set(counted.stdout.split()) <= set(METRIC_KINDS)
    assert {path.name: path.stat().st_size for path in directory.glob("*.db")} == before
    written = [path.name for path in directory.glob("*.db") if any(path.read_bytes())]
    assert sorted(written) == sorted(f"{kind}_{SLOT}.db" for kind in METRIC_KINDS)
