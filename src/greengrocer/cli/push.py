"""``greengrocer push``: writes a bundle to an object store."""

import argparse
from typing import TYPE_CHECKING

from greengrocer.cli.commands import BUNDLE_HELP
from greengrocer.cli.output import say, warn
from greengrocer.errors import UsageError

if TYPE_CHECKING:
    from greengrocer.cli.commands import Commands

WRITABLE = ("s3://", "gs://", "az://")


def register(commands: "Commands") -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "push",
        help="write a bundle to an object store",
        description="Verify a bundle and write it to an object store, its manifest last. Prints "
        "the address with the bundle's digest, as `serve --bundle` takes it.",
    )
    parser.add_argument(
        "bundle", metavar="BUNDLE", help=BUNDLE_HELP.removesuffix(" (default: grocery)")
    )
    parser.add_argument(
        "address",
        metavar="ADDRESS",
        help="where to write it, as s3://bucket/shop, gs://bucket/shop or az://container/shop",
    )
    parser.add_argument(
        "--replace", action="store_true", help="write every file, whatever bundle is there"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Verify the bundle, write it, and print its address."""
    from greengrocer.safe_text import MAX_NAME, one_line, without_secrets  # noqa: PLC0415
    from greengrocer.stores.address import Address  # noqa: PLC0415
    from greengrocer.stores.fetch import open_bundle  # noqa: PLC0415
    from greengrocer.stores.interruptible import interruptible  # noqa: PLC0415
    from greengrocer.stores.push import push  # noqa: PLC0415

    if not arguments.address.lower().startswith(WRITABLE):
        shown = one_line(without_secrets(arguments.address), MAX_NAME)
        raise UsageError(f"{shown}: a bundle is pushed to s3://, gs:// or az://")
    address = Address.parsed(arguments.address)
    bundle = open_bundle(arguments.bundle)
    pushed = interruptible(lambda: push(bundle, address, replace=arguments.replace))
    if not pushed.written:
        warn("nothing was written: this bundle is there already; --replace writes every file again")
    say(pushed.address)
    return 0
