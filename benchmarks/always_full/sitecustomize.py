"""Python imports it at its start where this folder is on PYTHONPATH: the queue is always full.

Greengrocer, in one process or in several, then refuses every image with a 429. A refusal takes the
same path as under overload.
"""

from dataclasses import replace

from greengrocer import assemble_limits
from greengrocer.serving.admission import AdmissionLimits
from greengrocer.settings import Settings

NONE_IS_SHORT_ENOUGH = -1.0  # seconds that an image may wait

_ordinary = assemble_limits.admission_limits


def _full(settings: Settings, threads: int) -> AdmissionLimits:
    return replace(_ordinary(settings, threads), wait_seconds=NONE_IS_SHORT_ENOUGH)


assemble_limits.admission_limits = _full
