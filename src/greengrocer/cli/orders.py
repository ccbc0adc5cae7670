"""What the commands that order a running service about have in common: its flags, and the order."""

import argparse
import re
import shlex
from pathlib import Path

from greengrocer.errors import ControlRefused, ReloadRefused
from greengrocer.read_settings import read_settings

SERVICE_FLAGS = ("control_socket", "port", "config")


def add_service_flags(parser: argparse.ArgumentParser) -> None:
    """The flags that say which service is meant: those with which it was started."""
    for name, metavar, meaning in (
        ("--control-socket", "PATH", "the service's --control-socket, as /run/greengrocer.sock"),
        ("--port", "N", "the service's port, as 8000"),
    ):
        parser.add_argument(name, default=argparse.SUPPRESS, metavar=metavar, help=meaning)
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="the service's --config, as service.toml"
    )


def send_order(arguments: argparse.Namespace, order: dict[str, object]) -> dict[str, object]:
    """What the service answers once it has carried out ``order``.

    Raises ControlRefused where no service answers, and ReloadRefused where it refuses.
    """
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
    answer = ask(path, order)
    if not answer.get("ok"):
        raise ReloadRefused(_meant(str(answer.get("error")), arguments))
    return answer


def _meant(text: str, arguments: argparse.Namespace) -> str:
    """``text``, in which each order in backquotes is a command for this service.

    The service's log has it without the flags that say which one is meant: it does not know them.
    """
    given = "".join(
        f" --{name.replace('_', '-')} {shlex.quote(str(value))}"
        for name in SERVICE_FLAGS
        if (value := vars(arguments).get(name)) is not None
    )
    return re.sub(
        "`(models [a-z]+)([^`]*)`", lambda order: f"greengrocer {order[1]}{given}{order[2]}", text
    )


def bundle_as_sent(bundle: str) -> str:
    """A bundle's name, or its directory in full: the service may run in another one."""
    from greengrocer.bundles.bundle import shipped_bundles  # noqa: PLC0415

    if bundle not in shipped_bundles() and Path(bundle).is_dir():
        return str(Path(bundle).absolute())
    return bundle


def told(model: object) -> str:
    """A model in a service's answer, by name and version."""
    return "{name} {version}".format(**model) if isinstance(model, dict) else "none"
