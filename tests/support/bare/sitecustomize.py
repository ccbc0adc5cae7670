"""An installation without the extra heif: no process that begins here finds its library."""

import sys

sys.modules["pillow_heif"] = None  # type: ignore[assignment]
