"""An installation without extras: no process that begins here finds their libraries."""

import os
import sys

for library in os.environ["WITHOUT_LIBRARIES"].split(","):
    sys.modules[library] = None  # type: ignore[assignment]
