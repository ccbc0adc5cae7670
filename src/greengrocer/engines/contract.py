"""What an engine for the CPU that runs a bundle's graph asks of it, and how it is refused."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from greengrocer.bundles.manifest import GRAPH, Manifest
from greengrocer.errors import BundleRefused, InvalidAnswer, UsageError
from greengrocer.safe_text import MAX_REASON, one_line, words_of

BATCH = "N"  # a dimension that may vary
NO_MEMORY = ("bad_alloc", "Failed to allocate memory")  # as runtimes say it
NOTHING: dict[str, None] = {"known_score": None, "evidence": None}  # what a graph may leave out

Shape = tuple[int | str, ...]
Tensors = Mapping[str, tuple[str, Shape]]  # type and sides, by name


def check_device(engine: str, device: str) -> None:
    """Raise UsageError for a device that is not the CPU."""
    if device not in ("auto", "cpu"):
        raise UsageError(
            f"the engine {engine} does not run on {device!r}: set the device to cpu, "
            "or choose the engine torch"
        )


def outputs_of(manifest: Manifest) -> dict[str, tuple[int, ...]]:
    """The outputs that the bundle's graph must have, no more and no less, by name.

    With the sides of each for one image; 0 is any but 0.
    """
    classes = len(manifest.classes)
    return {
        "probabilities": (classes,),
        **({"known_score": ()} if manifest.known_threshold is not None else {}),
        **({"evidence": (0, 0, classes)} if manifest.evidence else {}),
        **({"coarse": (len(manifest.coarse),)} if manifest.coarse else {}),
    }


def sides_of(shape: Sequence[int | str | None]) -> Shape:
    """The sides of a tensor. A graph may be for one image at a time, as it is used here."""
    first, *others = shape or (0,)
    sides = [BATCH if first == 1 else first, *others]
    return tuple(side if isinstance(side, int) else BATCH for side in sides)


def check_inputs(directory: Path, manifest: Manifest, found: Tensors) -> None:
    """Raise BundleRefused where the graph does not read the pixels that the manifest describes."""
    geometry = manifest.geometry
    pixels = ("tensor(uint8)", (BATCH, geometry.height, geometry.width, 3))
    _check(directory, "inputs", found, {"pixels": pixels})


def check_outputs(directory: Path, manifest: Manifest, found: Tensors) -> None:
    """Raise BundleRefused where the graph does not answer as the manifest says."""
    shapes: dict[str, Shape] = {n: (BATCH, *sides) for n, sides in outputs_of(manifest).items()}
    if "evidence" in shapes:
        evidence = found.get("evidence", ("", (BATCH, 0, 0, 0)))[1]
        places = [side or 1 for side in evidence[1:3]]  # there is one at least
        shapes["evidence"] = (BATCH, *places, len(manifest.classes))
    wanted = {name: ("tensor(float)", shape) for name, shape in shapes.items()}
    _check(directory, "outputs", found, wanted)


def _check(directory: Path, what: str, found: Tensors, wanted: Tensors) -> None:
    if found != wanted:
        raise BundleRefused(f"bundle {directory}: {GRAPH} has the {what} {found}, not {wanted}")


@contextmanager
def loading(directory: Path) -> Iterator[None]:
    """Raise BundleRefused, in one line, for what a runtime raises when it loads the graph."""
    try:
        yield
    except UsageError:
        raise
    # The exceptions of the runtimes have no common base below Exception.
    except Exception as error:
        reason = reason_of(error)
        raise BundleRefused(f"bundle {directory}: {GRAPH} does not load: {reason}") from error


@contextmanager
def running(kind: type[Exception] = Exception) -> Iterator[None]:
    """Raise InvalidAnswer for what a runtime raises, of this kind, when it runs the graph.

    An operator may fail for some images only: that is no defect of the service, and whoever finds
    such an image must not fill its log with tracebacks. Raises MemoryError where memory lacked.
    """
    try:
        yield
    except MemoryError:
        raise
    except kind as error:
        if lacked_memory(error):
            raise MemoryError(reason_of(error)) from error
        raise InvalidAnswer("the model fails on this image", reason_of(error)) from error


def reason_of(error: Exception) -> str:
    """What a runtime says of a graph that it does not load or run, in one line."""
    if lacked_memory(error):
        return "there is not enough memory for it"
    return one_line(" ".join(words_of(error).split()), MAX_REASON)


def lacked_memory(error: Exception) -> bool:
    """Whether a runtime found no memory, of which it has no exception of its own."""
    return any(said in str(error) for said in NO_MEMORY)
