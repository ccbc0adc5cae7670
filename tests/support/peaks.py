"""Measure the peak memory of decoding and fitting an image, in a process of its own."""

import subprocess
import sys
from pathlib import Path

_CHILD = """
import sys
from pathlib import Path
from greengrocer.errors import ImageRefused
from greengrocer.imaging.decode import DecodeLimits, decode
from greengrocer.imaging.geometry import Geometry, fit

def kilobytes(line):
    for each in Path("/proc/self/status").read_text().splitlines():
        if each.startswith(line):
            return int(each.split()[1])

def squeeze(data, side):
    geometry = Geometry(width=side, height=side, resample="bicubic")
    fit(decode(data, geometry.size, DecodeLimits(10**10, 1000, 10**12)), geometry)

squeeze(Path(sys.argv[2]).read_bytes(), 16)
data = Path(sys.argv[1]).read_bytes()
Path("/proc/self/clear_refs").write_text("5")
before = kilobytes("VmRSS")
try:
    squeeze(data, int(sys.argv[3]))
except ImageRefused as refused:
    sys.exit(str(refused))
print((kilobytes("VmHWM") - before) * 1024)
"""


def peak_bytes(picture: Path, side: int, small: Path) -> int:
    """What decoding ``picture`` and squeezing it to a square adds to a process at its peak.

    ``small`` is an image of the same kind, by which the process is warm.
    """
    command = [sys.executable, "-c", _CHILD, str(picture), str(small), str(side)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(done.stdout)
