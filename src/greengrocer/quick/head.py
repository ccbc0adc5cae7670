"""Statistics and a calibration to the head that a graph holds."""

from collections.abc import Sequence

import numpy as np

from greengrocer.features.statistics import Statistics
from greengrocer.graphs.answers import Head
from greengrocer.quick.calibration import Calibration, prototypes
from greengrocer.quick.discriminant import discriminant


def make_head(
    statistics: Statistics, calibration: Calibration, coarse_of: Sequence[int] | None
) -> Head:
    """The head of all images. Its scale is the calibrated one, so its temperature is 1."""
    moments = statistics.moments()
    found = discriminant(moments)
    centre, directions = prototypes(moments, found)
    return Head(
        weight=(found.weight / calibration.temperature).astype(np.float32),
        bias=(found.bias / calibration.temperature).astype(np.float32),
        centre=centre.astype(np.float32),
        directions=directions.astype(np.float32),
        temperature=1.0,
        coarse_of=coarse_of,
    )
