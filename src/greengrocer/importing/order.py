"""What a person asks of ``greengrocer import``."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from greengrocer.importing.preprocessing import Wishes
from greengrocer.importing.source import Layout


@dataclass(frozen=True)
class Order:
    """What a person asked for. ``allow_int8``: the gate may choose it.

    ``photos_coarse`` and ``exclude`` are those of ``datasets.layouts.read.read_collection``.
    """

    model: Path
    out: Path
    name: str
    labels: Path | None = None
    coarse: Path | None = None
    config: Path | None = None
    photos: Path | None = None
    photos_coarse: str | None = None
    exclude: Sequence[str] = ()
    wishes: Wishes = field(default_factory=Wishes)
    layout: Layout | None = None
    output: str | None = None
    scaled: bool = False
    allow_int8: bool = True
