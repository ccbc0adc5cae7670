"""What the checks find: small facts with paths, a score and a reason that a person can act on."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class Copy(StrEnum):
    """How two files hold one photo."""

    SAME_FILE = "same file"  # byte for byte
    SAME_PIXELS = "same photo"  # in another encoding or size
    NEAR = "near-duplicate"  # cropped, flipped, turned, lighter; or shot again on the spot


class Crossing(StrEnum):
    """What lies between the two files of a duplicate; the worst of what applies."""

    SPLITS = "across splits"  # a leak: the model is tested on what it was trained on
    CLASSES = "across classes"  # a contradiction: one of both labels is wrong
    NOTHING = "within a class"


class FlawKind(StrEnum):
    """What is wrong with an image itself."""

    TINY = "tiny"
    UNIFORM = "nearly uniform"
    DARK = "dark"
    BLURRED = "blurred"
    ODD = "unlike its class"


@dataclass(frozen=True)
class Duplicate:
    """``path`` repeats ``original``, which comes earlier or is larger."""

    path: Path
    original: Path
    kind: Copy
    crossing: Crossing
    likeness: float  # 1 for the same pixels
    reason: str


@dataclass(frozen=True)
class WrongLabel:
    """The class of ``path`` may be wrong. ``given`` and ``suggested`` are class ids."""

    path: Path
    given: int
    suggested: int
    confidence: float  # probability of the suggested class, from images of other groups
    given_probability: float  # the same of the given class
    resembles: tuple[Path, ...]  # images of the suggested class, most alike first
    reason: str


@dataclass(frozen=True)
class Flaw:
    """An image that teaches little, or the wrong thing."""

    path: Path
    kind: FlawKind
    score: float  # larger is worse; comparable within one kind
    reason: str


@dataclass(frozen=True)
class OneScene:
    """All images of the class ``label`` were taken of one scene: it cannot be judged."""

    label: int
    paths: tuple[Path, ...]
    reason: str


@dataclass(frozen=True)
class Findings:
    """Everything that the checks found, each part the worst first."""

    duplicates: tuple[Duplicate, ...] = ()
    wrong_labels: tuple[WrongLabel, ...] = ()
    flaws: tuple[Flaw, ...] = ()
    one_scenes: tuple[OneScene, ...] = ()
