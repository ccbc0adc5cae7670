"""From an image's bytes to the model's pixels, as the geometry of a bundle says."""

from dataclasses import replace

import numpy as np

from greengrocer.imaging.decode import DecodeLimits, DecodePlan, Picture, plan_decode
from greengrocer.imaging.geometry import LONGEST, MOST_SCALED, Geometry, Pixels, fit

RGB = 4  # bytes of a pixel in Pillow


def plan_fitted(
    image: Picture, geometry: Geometry, limits: DecodeLimits | None = None
) -> DecodePlan:
    """The plan to decode ``image`` so that it can be fitted; raises as ``plan_decode`` does."""
    whole = geometry.decode == "whole"
    plan = plan_decode(image, geometry.decoded_size, limits, whole=whole)
    if geometry.shorter_side is None:
        return plan
    # A crop may be cut from an image that is scaled whole, and is up to LONGEST times as long.
    header = plan.header
    longest = 0 if header is None else max(header.width, header.height)
    if isinstance(image, np.ndarray):
        longest = max(image.shape)
    more = RGB * (MOST_SCALED + LONGEST * geometry.shorter_side * longest)
    return replace(plan, memory_bytes=min(plan.limits.bytes, plan.memory_bytes + more))


def decode_fitted(image: Picture, geometry: Geometry, limits: DecodeLimits | None = None) -> Pixels:
    """``image`` as the model sees it, uint8 [H, W, 3]; raises as ``DecodePlan.decode`` does."""
    return fit(plan_fitted(image, geometry, limits).decode(), geometry)
