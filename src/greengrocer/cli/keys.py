"""``greengrocer keys``: who may ask a service whose ``--api-keys`` is this file."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from greengrocer.cli.output import say, warn
from greengrocer.web.access.keys import add_key, read_keys, remove_key

if TYPE_CHECKING:
    from greengrocer.cli.commands import Commands


def register(commands: "Commands") -> None:
    """Declare the command and what it can do."""
    parser = commands.add_parser(
        "keys",
        help="give and take back API keys",
        description="Change the file that a service's --api-keys names. The service need not be "
        "started again: it sees the change within a second.",
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    for name, run, meaning in (
        ("add", add, "make a key and print it, this once: the file has only its hash"),
        ("remove", remove, "take a key back"),
        ("list", show, "print the names of all keys"),
    ):
        action = actions.add_parser(name, help=meaning, description=meaning)
        if run is not show:
            action.add_argument("name", metavar="NAME", help="whose it is, for the log")
        action.add_argument("--file", type=Path, required=True, help="the file of keys")
        action.set_defaults(run=run)


def add(arguments: argparse.Namespace) -> int:
    """Print a new key: on standard output nothing else, so that a script can keep it."""
    say(add_key(arguments.file, arguments.name))
    warn("keep it safe: it cannot be shown again")
    return 0


def remove(arguments: argparse.Namespace) -> int:
    """Take a key back."""
    remove_key(arguments.file, arguments.name)
    return 0


def show(arguments: argparse.Namespace) -> int:
    """Print the names, in the file's order."""
    for name in read_keys(arguments.file):
        say(name)
    return 0
