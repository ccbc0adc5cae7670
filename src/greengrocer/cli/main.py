"""``greengrocer``: runs a command, and reports a mistake in one line."""

import argparse
import re
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from greengrocer.cli import (
    bundle,
    data,
    evaluate,
    import_model,
    info,
    keys,
    models,
    predict,
    push,
    reload,
    serve,
    teach,
    train,
)
from greengrocer.cli.output import INTERRUPTED, MISTAKE, complain, lacking, let_go, warn
from greengrocer.errors import GreengrocerError
from greengrocer.safe_text import MAX_NAME, one_line
from greengrocer.suggestions import did_you_mean
from greengrocer.telemetry.library_warnings import report_warnings
from greengrocer.version import __version__

COMMANDS = (
    serve,
    reload,
    models,
    keys,
    predict,
    info,
    data,
    train,
    teach,
    import_model,
    bundle,
    push,
    evaluate,
)

FLAG = re.compile(r"--?[^-\d]")  # not a negative number


class OneLineParser(argparse.ArgumentParser):
    """argparse, which reports a mistake in one line, and takes flags only in full."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"allow_abbrev": False, **options})

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """As argparse, but an unknown flag is reported before a missing one."""
        given = sys.argv[1:] if args is None else args
        for each in given:
            if each == "--" or (self._subparsers is not None and not each.startswith("-")):
                break  # what follows is no flag, or a command's own
            if FLAG.match(each):
                self._check_flag(each.partition("=")[0])
        return super().parse_known_args(given, namespace)

    def _check_flag(self, flag: str) -> None:
        """Refuse an unknown flag."""
        known = [
            name
            for name, action in self._option_string_actions.items()
            if name.startswith("--") and action.help is not argparse.SUPPRESS  # an old name
        ]
        if flag not in self._option_string_actions:
            self.error(f"there is no flag {one_line(flag, MAX_NAME)}{did_you_mean(flag, known)}")

    def error(self, message: str) -> NoReturn:
        """Exit with the code of a mistake."""
        self.exit(MISTAKE, one_line(f"{self.prog}: {message} (see {self.prog} --help)") + "\n")


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = OneLineParser(
        prog="greengrocer", description="Tells what a photo shows, and learns your own classes."
    )
    parser.add_argument("--version", action="version", version=f"greengrocer {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.register(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line and return the exit code: 0, or 2 for a mistake."""
    arguments = build_parser().parse_args(argv)
    report_warnings(warn)
    try:
        code: int = arguments.run(arguments)
        sys.stdout.flush()
    except GreengrocerError as error:
        complain(str(error))
        return MISTAKE
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output has closed it
        return 0
    except OSError as error:
        return lacking(error)
    finally:
        let_go(sys.stdout)
        let_go(sys.stderr)
    return code
