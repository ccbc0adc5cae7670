"""``greengrocer``: finds the command, runs it, and turns a mistake into one line."""

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

from greengrocer import __version__
from greengrocer.cli import data, evaluate, info, keys, predict, reload, serve, train
from greengrocer.cli.output import INTERRUPTED, MISTAKE, complain, lacking, let_go
from greengrocer.errors import GreengrocerError
from greengrocer.plain_text import one_line

COMMANDS = (serve, reload, keys, predict, info, data, train, evaluate)


class OneLineParser(argparse.ArgumentParser):
    """argparse, with a mistake told in one line."""

    def error(self, message: str) -> NoReturn:
        """Leave with the mistake's exit code."""
        self.exit(MISTAKE, one_line(f"{self.prog}: {message} (see {self.prog} --help)") + "\n")


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = OneLineParser(prog="greengrocer", description="Tells what grocery item a photo shows.")
    parser.add_argument("--version", action="version", version=f"greengrocer {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.register(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line and return the exit code: 0, or 2 for a mistake."""
    arguments = build_parser().parse_args(argv)
    try:
        code: int = arguments.run(arguments)
        sys.stdout.flush()
    except GreengrocerError as error:
        complain(str(error))
        return MISTAKE
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output has seen enough
        return 0
    except OSError as error:
        return lacking(error)
    finally:
        let_go(sys.stdout)
        let_go(sys.stderr)
    return code
