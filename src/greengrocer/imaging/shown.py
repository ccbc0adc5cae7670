"""What the decoder is to see of an image."""

from typing import NamedTuple

MAX_EXIF = 1 << 20  # bytes; a JPEG's segment holds 64 KiB, so more is no camera's


class Shown(NamedTuple):
    """The parts of the file that are needed, without a copy, and what was read of the rest."""

    pieces: list[bytes | memoryview]
    orientation: int  # EXIF's, 1 to 8
