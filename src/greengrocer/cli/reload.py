"""``greengrocer reload``: another model for a running service, without a pause."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from greengrocer.cli.output import say
from greengrocer.errors import ControlRefused, ReloadRefused
from greengrocer.read_settings import read_settings

if TYPE_CHECKING:
    from greengrocer.cli.commands import Commands


def register(commands: "Commands") -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "reload",
        help="give a running service another model",
        description="Have a running service of yours load, verify and warm a bundle, and serve it "
        "from then on; a bundle that is refused changes nothing.",
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--bundle",
        metavar="NAME|DIR",
        help="a shipped bundle's name, or a bundle's directory (default: what serves, read anew)",
    )
    which.add_argument(
        "--rollback", action="store_true", help="go back to the model that served before"
    )
    for name, metavar, meaning in (
        ("--control-socket", "PATH", "the service's socket, where it was given one"),
        ("--port", "N", "the service's port"),
    ):
        parser.add_argument(name, default=argparse.SUPPRESS, metavar=metavar, help=meaning)
    parser.add_argument("--config", type=Path, metavar="FILE", help="the service's settings")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Send the order, wait until it is done, and say what serves now."""
    from greengrocer.serving.reloading.control import ask, control_path  # noqa: PLC0415

    flags = {name: value for name, value in vars(arguments).items() if name in ("control_socket", "port")}
    settings = read_settings(flags, arguments.config)
    path = settings.control_socket or control_path(settings.port)
    if path is None:
        raise ControlRefused("there is no directory for control sockets here: use SIGHUP")
    answer = ask(path, _order(arguments))
    if not answer.get("ok"):
        raise ReloadRefused(str(answer.get("error")))
    old, new = ("{name} {version}".format(**answer[which]) for which in ("old", "new"))
    say(f"now {new} serves, after {old}")
    return 0


def _order(arguments: argparse.Namespace) -> dict[str, object]:
    from greengrocer.bundles.bundle import shipped_bundles  # noqa: PLC0415

    if arguments.rollback:
        return {"order": "rollback"}
    bundle: str | None = arguments.bundle
    if bundle is not None and bundle not in shipped_bundles() and Path(bundle).is_dir():
        bundle = str(Path(bundle).absolute())  # the service may run elsewhere
    return {"order": "reload", "bundle": bundle}
