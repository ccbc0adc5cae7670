"""From an image's bytes to the model's pixels, as the geometry of a bundle says."""

from greengrocer.imaging.decode import DecodeLimits, DecodePlan, Picture, plan_decode
from greengrocer.imaging.geometry import Geometry, Pixels, fit


def plan_fitted(
    image: Picture, geometry: Geometry, limits: DecodeLimits | None = None
) -> DecodePlan:
    """The plan to decode ``image`` so that it can be fitted; raises as ``plan_decode`` does."""
    whole = geometry.decode == "whole"
    return plan_decode(image, geometry.decoded_size, limits, whole=whole)


def decode_fitted(image: Picture, geometry: Geometry, limits: DecodeLimits | None = None) -> Pixels:
    """``image`` as the model sees it, uint8 [H, W, 3]; raises as ``DecodePlan.decode`` does."""
    return fit(plan_fitted(image, geometry, limits).decode(), geometry)
