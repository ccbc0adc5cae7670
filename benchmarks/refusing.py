"""Greengrocer with a queue that is always full: every image is refused with a 429.

Takes Greengrocer's own command line. A refusal takes the same path as under overload.
"""

import sys
from dataclasses import replace
from unittest.mock import patch

from greengrocer import assemble
from greengrocer.assemble_limits import admission_limits
from greengrocer.cli.main import main
from greengrocer.serving.admission import AdmissionLimits
from greengrocer.settings import Settings

NONE_IS_SHORT_ENOUGH = -1.0  # seconds that an image may wait


def _full(settings: Settings, threads: int) -> AdmissionLimits:
    return replace(admission_limits(settings, threads), wait_seconds=NONE_IS_SHORT_ENOUGH)


if __name__ == "__main__":
    with patch.object(assemble, "admission_limits", _full):
        sys.exit(main(sys.argv[1:]))
