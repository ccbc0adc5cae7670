"""The contenders: ourselves and the peers, each with the command that starts it."""

import sys
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmarks.peers.environments import environment, pinned
from benchmarks.peers.protocols import FORM, OPEN_INFERENCE, Protocol
from greengrocer.bundles.bundle import find_bundle
from greengrocer.bundles.manifest import read_manifest

OURS = "Greengrocer"
FOUNDING = "founding backend"
TUNED = ", tuned"
FOLDERS = Path(__file__).parent / "servers"
REQUIREMENTS = "requirements.txt"
PEERS = tuple(sorted(path.parent.name for path in FOLDERS.glob(f"*/{REQUIREMENTS}")))
SOURCE = Path(__file__).parents[2] / "src"


@dataclass(frozen=True)
class Contender:
    """A server that answers an image with its class."""

    name: str
    note: str  # how it is run
    command: tuple[str, ...]  # {port} stands for the port
    folder: Path = Path()  # where it starts, with the requirements of its environment if a peer
    variables: dict[str, str] = field(default_factory=dict)
    protocol: Protocol = FORM

    def start(self, port: int) -> list[str]:
        """The command for a port, the environment built; raises CalledProcessError."""
        program, *words = self.command
        if self.folder.name:
            program = str(environment(self.folder.name, self.folder / REQUIREMENTS) / program)
        return [program, *(word.format(port=port) for word in words)]


def contenders(bundle: str, model: Path, only: Collection[str]) -> list[Contender]:
    """Ourselves first, and ``only`` these of the ``PEERS``.

    ``model`` is a folder with the bundle's network as the peers take it.
    """
    ours = Contender(
        OURS,
        "as it ships, its access log off",
        (
            *(sys.executable, "-m", "greengrocer", "serve", "--port", "{port}"),
            *("--bundle", bundle, "--access-log", "false", "--drain-delay-seconds", "0"),
        ),
    )
    return [ours, *(peer for peer in _peers(bundle, model) if peer.folder.name in only)]


def _peers(bundle: str, model: Path) -> list[Contender]:
    uvicorn = ("uvicorn", "server:app", "--port", "{port}", "--log-level", "warning")
    bento = ("bentoml", "serve", "server:Recogniser", "--host", "127.0.0.1", "--port", "{port}")
    script = ("python", "server.py", "{port}")
    share = read_manifest(find_bundle(bundle)).geometry.share
    network = {"MODEL": str(model), "SHARE": f"{share:g}"}
    weights = {"BUNDLE": str(find_bundle(bundle).resolve()), "PYTHONPATH": str(SOURCE)}
    return [
        *_both(
            _peer(
                "FastAPI + ONNX Runtime",
                "fastapi",
                "a plain `def` route, hence FastAPI's thread pool, over one session",
                uvicorn,
                network,
            )
        ),
        *_both(
            _peer(
                "LitServe",
                "litserve",
                "a worker process for each processor, as its documentation advises; no batches",
                script,
                network,
            )
        ),
        *_both(
            _peer(
                "BentoML",
                "bentoml",
                "a worker process for each processor",
                bento,
                {**network, "BENTOML_DO_NOT_TRACK": "True"},
            )
        ),
        *_both(
            _peer(
                "Triton",
                "pytriton",
                "it takes the JPEG as a binary tensor of the Open Inference Protocol, and has its "
                "Python backend alone; one Python callable over its dynamic batches of up to 4",
                script,
                network,
                package="nvidia-pytriton",
                protocol=OPEN_INFERENCE,
            ),
            "a callable for each processor, one thread a batch",
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


def _both(peer: Contender, setting: str = "one thread an image") -> list[Contender]:
    """A peer as documented, and with the one setting that helps most."""
    tuned = replace(
        peer,
        name=peer.name + TUNED,
        note=f"{peer.note}; {setting}",
        variables={**peer.variables, "THREADS": "1"},
    )
    return [peer, tuned]


def _peer(
    name: str,
    folder: str,
    note: str,
    command: tuple[str, ...],
    variables: dict[str, str],
    package: str = "",
    protocol: Protocol = FORM,
) -> Contender:
    home = FOLDERS / folder
    pin = pinned(home / REQUIREMENTS, package or folder)
    return Contender(name, f"{pin}, {note}", command, home, variables, protocol)
