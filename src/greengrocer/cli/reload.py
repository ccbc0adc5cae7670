"""``greengrocer reload``: a running service changes its model without downtime."""

import argparse
from typing import TYPE_CHECKING

from greengrocer.cli.orders import add_service_flags, bundle_as_sent, send_order, told
from greengrocer.cli.output import say

if TYPE_CHECKING:
    from greengrocer.cli.commands import Commands


def register(commands: "Commands") -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "reload",
        help="change the model of a running service",
        description="Have a running service load, verify and warm a bundle, then serve it, without "
        "downtime. If the bundle is refused, the service keeps its model.",
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--bundle",
        metavar="BUNDLE",
        help="a shipped bundle's name, as fast, a bundle's directory, as runs/shop, or its "
        "address, as s3://bucket/shop (default: the bundle that serves, read again)",
    )
    which.add_argument("--rollback", action="store_true", help="return to the previous model")
    add_service_flags(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Send the order, wait until it is carried out, and print which model serves."""
    order: dict[str, object] = {"order": "rollback"}
    if not arguments.rollback:
        bundle = arguments.bundle and bundle_as_sent(arguments.bundle)
        order = {"order": "reload", "bundle": bundle}
    answer = send_order(arguments, order)
    say(f"now serving {told(answer['new'])} (before: {told(answer['old'])})")
    return 0
