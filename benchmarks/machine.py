"""The machine that the figures are from."""

import os
import platform
from pathlib import Path

import onnxruntime


def machine() -> str:
    """One line: processor, cores, kernel and the libraries that matter."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    return (
        f"{model}, {len(os.sched_getaffinity(0))} processors, Linux {platform.release()}, "
        f"Python {platform.python_version()}, ONNX Runtime {onnxruntime.__version__}"
    )


def busy_seconds() -> float:
    """Seconds that all processors have worked for any process so far; stolen time counts too."""
    line = Path("/proc/stat").read_text().partition("\n")[0]
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, line.split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
