"""What a person asks of ``greengrocer import``."""

from dataclasses import dataclass, field
from pathlib import Path

from greengrocer.importing.preprocessing import Wishes
from greengrocer.importing.source import Layout


@dataclass(frozen=True)
class Order:
    """What a person asked for. ``allow_int8``: the gate may choose it."""

    model: Path
    out: Path
    name: str
    labels: Path | None = None
    coarse: Path | None = None
    config: Path | None = None
    photos: Path | None = None
    wishes: Wishes = field(default_factory=Wishes)
    layout: Layout | None = None
    output: str | None = None
    scaled: bool = False
    allow_int8: bool = True
