"""Commands to a running service on its control socket."""

from pathlib import Path

from greengrocer.serving.reloading.control import Message, ask
from support.servers import Server


def reload(server: Server, runtime: Path, bundle: Path | None = None) -> Message:
    """What the service, whose ``XDG_RUNTIME_DIR`` is ``runtime``, answers to a reload."""
    asked = {"order": "reload", "bundle": str(bundle) if bundle else None}
    return ask(runtime / "greengrocer" / f"{server.port}.sock", asked)
