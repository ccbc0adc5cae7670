"""``greengrocer keys``: the API keys in the file that ``serve --api-keys`` reads."""

import argparse
import sys
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
        help="add, remove and list API keys",
        description="Change the file of API keys that `serve --api-keys` reads. A running service "
        "applies the change within a second.",
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    for name, run, meaning in (
        ("add", add, "create a key and print it once: the file keeps only its hash"),
        ("remove", remove, "remove a key: its requests get 401"),
        ("list", show, "print the name of each key"),
    ):
        action = actions.add_parser(name, help=meaning, description=meaning)
        if run is not show:
            action.add_argument(
                "name",
                metavar="NAME",
                help="the key's name, as till-1: it is logged with each request",
            )
        action.add_argument(
            "--file", type=Path, required=True, help="the file of keys, as /etc/greengrocer/keys"
        )
        action.set_defaults(run=run)


def add(arguments: argparse.Namespace) -> int:
    """Print a new key, and nothing else on standard output, so that a script can store it."""
    key = add_key(arguments.file, arguments.name)
    try:
        say(key)
        sys.stdout.flush()
    except OSError:
        remove_key(arguments.file, arguments.name)  # it was not shown
        raise
    warn("keep it safe: it cannot be shown again")
    return 0


def remove(arguments: argparse.Namespace) -> int:
    """Remove a key."""
    remove_key(arguments.file, arguments.name)
    return 0


def show(arguments: argparse.Namespace) -> int:
    """Print the names in the order of the file."""
    for name in read_keys(arguments.file):
        say(name)
    return 0
