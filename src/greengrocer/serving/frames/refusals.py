"""A refusal crosses from one process to another as its code, and is the same class there."""

import math

from greengrocer.errors import NotReady, Overloaded, Refusal
from greengrocer.serving.frames.frames import Refused


def to_frame(number: int, refusal: Refusal) -> Refused:
    """The frame that tells of ``refusal``."""
    retry_after = refusal.retry_after if isinstance(refusal, Overloaded) else 0.0
    return Refused(number, refusal.code, str(refusal), retry_after, refusal.seconds)


def from_frame(frame: Refused) -> Refusal:
    """The refusal that ``frame`` tells of; NotReady for a code that is not known here."""
    kind = _classes(Refusal).get(frame.code, NotReady)
    if issubclass(kind, Overloaded):
        return kind(frame.detail, math.ceil(frame.retry_after))  # HTTP wants whole seconds
    refusal = kind(frame.detail)
    if frame.seconds:
        refusal.seconds = frame.seconds
    return refusal


def _classes(root: type[Refusal]) -> dict[str, type[Refusal]]:
    """The classes of the tree below ``root`` by the code that each has for itself."""
    found = {root.code: root} if "code" in vars(root) else {}
    for kind in root.__subclasses__():
        found |= _classes(kind)
    return found
