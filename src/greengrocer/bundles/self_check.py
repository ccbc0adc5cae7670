"""Replay a bundle's goldens: does this machine answer as the one that exported it did?"""

from collections.abc import Callable

from greengrocer.bundles.bundle import Bundle
from greengrocer.bundles.files import refused
from greengrocer.errors import BundleRefused, ImageRefused, InvalidAnswer, UsageError
from greengrocer.safe_text import kind_and_words_of, words_of

# What is asked of a pipeline: the image's bytes in, the best class and its confidence out.
Classify = Callable[[bytes], tuple[str, float]]


def replay_goldens(bundle: Bundle, classify: Classify) -> None:
    """Classify every golden image; raises BundleRefused at the first other answer.

    The label must be the same and the confidence within the manifest's tolerance, which leaves
    room for the rounding of processors with and without int8 dot products (VNNI).
    """
    for golden in bundle.manifest.goldens:
        try:
            label, confidence = classify(bundle.read(golden.file))
        except (ImageRefused, InvalidAnswer, MemoryError) as error:
            raise refused(bundle.directory, golden.file, words_of(error), ":") from error
        except UsageError:
            raise
        # A graph can fail in as many ways as there are operators.
        except Exception as error:
            reason = kind_and_words_of(error)
            raise refused(bundle.directory, golden.file, f"fails: {reason}") from error
        drift = abs(confidence - golden.confidence)
        within = drift <= bundle.manifest.golden_tolerance  # false for NaN
        if label != golden.prediction or not within:
            raise BundleRefused(
                f"bundle {bundle.directory}: {golden.file} is answered {label} "
                f"({confidence:.3f}), not {golden.prediction} ({golden.confidence:.3f}) "
                f"within {bundle.manifest.golden_tolerance:g}: the graph is damaged, or this "
                "processor or engine computes it differently"
            )
