"""The trial process of a reload: a bundle runs here before the running service loads it.

Its arguments are a bundle's name or directory, and an engine's name.
"""

import sys

from greengrocer.cli.limited import exit_code
from greengrocer.serving.reloading.trial import Limits, limit_trial


def main(source: str, engine: str) -> int:
    """Load the bundle, replay its goldens, and return the exit code."""
    limit_trial(Limits())
    from greengrocer.assemble_pipeline import build_pipeline  # noqa: PLC0415
    from greengrocer.bundles.bundle import find_bundle, load_bundle  # noqa: PLC0415

    return exit_code(lambda: build_pipeline(load_bundle(find_bundle(source)), engine))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
