"""Replay a bundle's goldens: does this machine answer as the one that exported it did?"""

from collections.abc import Callable

from greengrocer.bundles.bundle import Bundle
from greengrocer.errors import BundleRefused, PictureRefused

# What is asked of a pipeline: the picture's bytes in, the best class and its confidence out.
Classify = Callable[[bytes], tuple[str, float]]


def replay_goldens(bundle: Bundle, classify: Classify) -> None:
    """Classify every golden picture; raises BundleRefused at the first other answer.

    The label must be the same and the confidence within the manifest's tolerance, which leaves
    room for the rounding of processors with and without int8 dot products (VNNI).
    """
    for golden in bundle.manifest.goldens:
        try:
            label, confidence = classify((bundle.directory / golden.file).read_bytes())
        except PictureRefused as error:
            raise BundleRefused(f"bundle {bundle.directory}: {golden.file}: {error}") from error
        drift = abs(confidence - golden.confidence)
        if label != golden.prediction or drift > bundle.manifest.golden_tolerance:
            raise BundleRefused(
                f"bundle {bundle.directory}: {golden.file} is answered {label} "
                f"({confidence:.3f}), not {golden.prediction} ({golden.confidence:.3f}) "
                f"within {bundle.manifest.golden_tolerance:g}: the graph or this processor is amiss"
            )
