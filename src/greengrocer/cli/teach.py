"""``greengrocer teach`` and ``forget``: images of a class come into a bundle, and leave it."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from greengrocer.cli.output import say
from greengrocer.errors import UsageError
from greengrocer.safe_text import one_line

if TYPE_CHECKING:
    from greengrocer.cli.commands import Commands
    from greengrocer.quick.teaching import Changed

OUT_HELP = "directory for the new version, as runs/mine (default: it takes the bundle's place)"


def register(commands: "Commands") -> None:
    """Declare both commands."""
    teach = commands.add_parser(
        "teach",
        help="add a class, or images of one, to a bundle",
        description="Add images of a class, old or new, to a bundle: in seconds, and without the "
        "images of its other classes. Needs the extra `quick`.",
    )
    _add_bundle(teach)
    teach.add_argument(
        "--class", dest="name", required=True, metavar="NAME", help='the class, as "Blood orange"'
    )
    teach.add_argument("images", type=Path, nargs="+", metavar="IMAGE", help="files and folders")
    teach.set_defaults(run=run_teach)
    forget = commands.add_parser(
        "forget",
        help="take a class, or images, out of a bundle",
        description="Take a class out of a bundle, or the images that are named, as if it had "
        "never seen them. Needs the extra `quick`.",
    )
    _add_bundle(forget)
    forget.add_argument("--class", dest="name", metavar="NAME", help='the class, as "Blood orange"')
    forget.add_argument("images", type=Path, nargs="*", metavar="IMAGE", help="files and folders")
    forget.set_defaults(run=run_forget)


def run_teach(arguments: argparse.Namespace) -> int:
    """Add the images, and say how good the bundle is now."""
    from greengrocer.bundles.bundle import find_bundle  # noqa: PLC0415
    from greengrocer.cli.images import find_images  # noqa: PLC0415
    from greengrocer.cli.quick import check_extra  # noqa: PLC0415

    check_extra()
    from greengrocer.quick.teaching import teach  # noqa: PLC0415

    bundle = find_bundle(arguments.bundle)
    images = find_images(arguments.images).files
    changed = teach(bundle, arguments.name, images, arguments.out)
    for each in changed.unreadable:
        say(one_line(f"left out {each.path}: {each.why}"))
    skipped = f"; {changed.skipped} it had already" if changed.skipped else ""
    say(f"taught {changed.images} images of {arguments.name}{skipped}")
    return _finish(changed, arguments.out or bundle)


def run_forget(arguments: argparse.Namespace) -> int:
    """Take the class or the images out, and say how good the bundle is now."""
    from greengrocer.bundles.bundle import find_bundle  # noqa: PLC0415
    from greengrocer.cli.images import find_images  # noqa: PLC0415
    from greengrocer.cli.quick import check_extra  # noqa: PLC0415

    if arguments.name and arguments.images:
        raise UsageError(
            "--class forgets a whole class, and images are forgotten by their files alone: give "
            "one of the two"
        )
    if not arguments.name and not arguments.images:
        raise UsageError("forget what? Give --class NAME, or images")
    check_extra()
    from greengrocer.quick.teaching import forget_class, forget_images  # noqa: PLC0415

    bundle = find_bundle(arguments.bundle)
    if arguments.name:
        changed = forget_class(bundle, arguments.name, arguments.out)
    else:
        images = find_images(arguments.images).files
        changed = forget_images(bundle, images, arguments.out)
    skipped = f"; {changed.skipped} it did not have" if changed.skipped else ""
    say(f"forgot {changed.images} images{skipped}")
    return _finish(changed, arguments.out or bundle)


def _finish(changed: "Changed", place: Path) -> int:
    from greengrocer.cli.quick import say_figures  # noqa: PLC0415

    if changed.calibration is not None:
        say_figures(changed.calibration)
    say(
        f"wrote {place}, version {changed.manifest.version}, {len(changed.manifest.classes)} "
        f"classes: serve it, or have a service that runs read it by `greengrocer reload`"
    )
    return 0


def _add_bundle(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--bundle", required=True, metavar="NAME|DIR", help="a bundle's directory, as runs/shop"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help=OUT_HELP)
