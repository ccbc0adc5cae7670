"""``greengrocer reload``: a running service changes its model without downtime."""

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
        help="change the model of a running service",
        description="Have a running service load, verify and warm a bundle, then serve it, without "
        "downtime. If the bundle is refused, the service keeps its model.",
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--bundle",
        metavar="NAME|DIR",
        help="a shipped bundle's name, as fast, or a bundle's directory, as runs/shop "
        "(default: the bundle that serves, read again)",
    )
    which.add_argument("--rollback", action="store_true", help="return to the previous model")
    for name, metavar, meaning in (
        ("--control-socket", "PATH", "the service's --control-socket, as /run/greengrocer.sock"),
        ("--port", "N", "the service's port, as 8000"),
    ):
        parser.add_argument(name, default=argparse.SUPPRESS, metavar=metavar, help=meaning)
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="the service's --config, as service.toml"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Send the order, wait until it is carried out, and print which model serves."""
    from greengrocer.serving.reloading.control import ask, control_path  # noqa: PLC0415

    flags = {
        name: value for name, value in vars(arguments).items() if name in ("control_socket", "port")
    }
    settings = read_settings(flags, arguments.config)
    path = settings.control_socket or control_path(settings.port)
    if path is None:
        raise ControlRefused(
            "there is no directory for a control socket: start the service with "
            "--control-socket PATH, or send it SIGHUP"
        )
    answer = ask(path, _order(arguments))
    if not answer.get("ok"):
        raise ReloadRefused(str(answer.get("error")))
    old, new = ("{name} {version}".format(**answer[which]) for which in ("old", "new"))
    say(f"now serving {new} (before: {old})")
    return 0


def _order(arguments: argparse.Namespace) -> dict[str, object]:
    from greengrocer.bundles.bundle import shipped_bundles  # noqa: PLC0415

    if arguments.rollback:
        return {"order": "rollback"}
    bundle: str | None = arguments.bundle
    if bundle is not None and bundle not in shipped_bundles() and Path(bundle).is_dir():
        bundle = str(Path(bundle).absolute())  # the service may run elsewhere
    return {"order": "reload", "bundle": bundle}
