"""What fits an image to the model: data in the bundle and one pure function.

Training, evaluation and serving all call it, so that they cannot drift apart.
"""

from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field

Pixels = npt.NDArray[np.uint8]

_FILTERS = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}


class Geometry(BaseModel):
    """How an image of any shape becomes the model's input. Sides are in pixels."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    width: int = Field(ge=16, le=2048)
    height: int = Field(ge=16, le=2048)
    shape: Literal["squeeze"] = Field(
        "squeeze", description="squeeze: the whole image, its aspect given up"
    )
    resample: Literal["bilinear", "bicubic"] = "bilinear"

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, the decoder's target."""
        return self.width, self.height


def fit(image: Image.Image, geometry: Geometry) -> Pixels:
    """Squeeze an upright RGB image to the model's input: uint8 [height, width, 3]."""
    return np.asarray(image.resize(geometry.size, _FILTERS[geometry.resample]))
