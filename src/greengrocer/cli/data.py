"""``greengrocer data download``: downloads and verifies the public data set."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from greengrocer.cli.output import say, warn

if TYPE_CHECKING:
    from greengrocer.cli.commands import Commands


def register(commands: "Commands") -> None:
    """Declare the command."""
    parser = commands.add_parser("data", help="download the Grocery Store Dataset")
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    action = actions.add_parser("download", help="download the data set and verify each file")
    action.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="directory to write, as ~/groceries (default: where `serve` and `evaluate` look)",
    )
    action.add_argument(
        "--from",
        dest="source",
        metavar="DIR|ARCHIVE|URL",
        help="source, as groceries.zip (default: the data set's public repository)",
    )
    action.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Download what is missing, and print what was done."""
    from greengrocer.datasets.download import download  # noqa: PLC0415
    from greengrocer.datasets.locations import default_data_dir  # noqa: PLC0415

    report = download(arguments.data or default_data_dir(), arguments.source)
    done = f"{report.written} files written" if report.written else "everything was there already"
    say(f"{report.destination}: {report.files} files, {report.size / 1e6:.0f} MB, {done}")
    if report.without_test:
        warn("the source has no test split: `evaluate --split test` cannot be used with it")
    return 0
