"""The rungs on the way from int8 to float32, and which blocks of a graph are the first to be float.

A ladder of rungs is climbed until one costs little enough: int8; int8 with the ranges of more
images; all but the most sensitive blocks in int8; float32, which costs nothing but time and size.
"""

import re
from typing import Literal, NamedTuple

MORE = 3  # times as many calibration images
SENSITIVITY_IMAGES = 16  # calibration images by which blocks are compared

Shipped = Literal["int8", "mixed", "float32"]


class Rung(NamedTuple):
    """The blocks that stay in float are those that make ``float_share`` of the error of int8."""

    precision: Shipped
    times_images: int
    float_share: float


LADDER = (
    Rung("int8", 1, 0.0),
    Rung("int8", MORE, 0.0),
    Rung("mixed", 1, 0.5),
    Rung("mixed", 1, 0.8),
    Rung("float32", 0, 1.0),
)


def block_of(node: str) -> str:
    """The block of a node by its name, such as "block3" of "block3/expand".

    It is the path as far as the first part with a number, or the first part where there is none.
    The last part, such as "relu6", is the node's own.
    """
    parts = node.strip("/").split("/")
    numbered = (place for place, part in enumerate(parts[:-1], 1) if re.search(r"\d", part))
    return "/".join(parts[: next(numbered, 1)])


def most_sensitive(errors: dict[str, float], share: float) -> tuple[str, ...]:
    """The fewest blocks that make ``share`` of the sum of ``errors``, in the order of these."""
    total, reached, chosen = sum(errors.values()), 0.0, set()
    for block in sorted(errors, key=lambda name: -errors[name]):
        if reached >= share * total:
            break
        chosen.add(block)
        reached += errors[block]
    return tuple(block for block in errors if block in chosen)
