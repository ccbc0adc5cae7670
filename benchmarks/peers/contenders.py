"""The contenders: ourselves and the peers, each with the command that starts it."""

import sys
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.peers.environments import environment, pinned
from greengrocer.bundles.bundle import find_bundle
from greengrocer.bundles.manifest import read_manifest

OURS = "Greengrocer"
FOUNDING = "founding backend"
TUNED = ", tuned"
FOLDERS = Path(__file__).parent / "servers"
SOURCE = Path(__file__).parents[2] / "src"


@dataclass(frozen=True)
class Contender:
    """A server that answers ``POST /predict``, a form with one ``file``, with a ``prediction``."""

    name: str
    note: str  # how it is run
    command: tuple[str, ...]  # {port} stands for the port
    folder: Path = Path()  # where it starts
    variables: dict[str, str] = field(default_factory=dict)


def contenders(bundle: str, model: Path) -> list[Contender]:
    """All, ourselves first, their environments built.

    ``model`` is a folder with the bundle's network as the peers take it.
    """
    uvicorn = ("uvicorn", "server:app", "--port", "{port}", "--log-level", "warning")
    bento = ("bentoml", "serve", "server:Recogniser", "--host", "127.0.0.1", "--port", "{port}")
    share = read_manifest(find_bundle(bundle)).geometry.share
    network = {"MODEL": str(model), "SHARE": f"{share:g}"}
    weights = {"BUNDLE": str(find_bundle(bundle).resolve()), "PYTHONPATH": str(SOURCE)}
    return [
        Contender(
            OURS,
            "as it ships, its access log off",
            (
                *(sys.executable, "-m", "greengrocer", "serve", "--port", "{port}"),
                *("--bundle", bundle, "--access-log", "false", "--drain-delay-seconds", "0"),
            ),
        ),
        *_both(
            "FastAPI + ONNX Runtime",
            "fastapi",
            "a plain `def` route, hence FastAPI's thread pool, over one session",
            uvicorn,
            network,
        ),
        *_both(
            "LitServe",
            "litserve",
            "a worker process for each processor, as its documentation advises; no batches",
            ("python", "server.py", "{port}"),
            network,
        ),
        *_both(
            "BentoML",
            "bentoml",
            "a worker process for each processor",
            bento,
            {**network, "BENTOML_DO_NOT_TRACK": "True"},
        ),
        _peer(
            FOUNDING,
            "founding",
            "PyTorch, eager, float32, in an `async def` route on the event loop; defaults",
            uvicorn,
            weights,
            package="torch",
        ),
    ]


def _both(
    name: str, folder: str, note: str, command: tuple[str, ...], variables: dict[str, str]
) -> list[Contender]:
    """A peer as documented, and with the one setting that helps most."""
    one = {**variables, "THREADS": "1"}
    return [
        _peer(name, folder, note, command, variables),
        _peer(name + TUNED, folder, f"{note}; one thread an image", command, one),
    ]


def _peer(
    name: str,
    folder: str,
    note: str,
    command: tuple[str, ...],
    variables: dict[str, str],
    package: str = "",
) -> Contender:
    home = FOLDERS / folder
    requirements = home / "requirements.txt"
    programs = environment(folder, requirements)
    return Contender(
        name,
        f"{pinned(requirements, package or folder)}, {note}",
        (str(programs / command[0]), *command[1:]),
        home,
        variables,
    )
