"""Clients of the Open Inference Protocol that others wrote, each in its own environment."""

import json
import subprocess
from pathlib import Path
from typing import Any

from benchmarks.peers.environments import environment

from greengrocer.imaging.formats import accepted
from support.make_images import jpeg
from support.servers import Server

ROOT = Path(__file__).parents[2]
REFUSED = f"the file is not an image in a supported format: send {accepted()}"
LEVELS = (10, 245)


def write_pictures(directory: Path) -> list[Path]:
    """One for each level."""
    paths = [directory / f"{level}.jpg" for level in LEVELS]
    for path, level in zip(paths, LEVELS, strict=True):
        path.write_bytes(jpeg(level))
    return paths


def told(program: str, address: str, pictures: list[Path]) -> dict[str, Any]:
    """What a program of ``conformance/open_inference`` received from the service there."""
    python = environment("clients", ROOT / "requirements" / "clients.txt") / "python"
    script = ROOT / "conformance" / "open_inference" / f"{program}.py"
    words = map(str, [python, script, address, "greys", *pictures])
    done = subprocess.run([*words], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def agrees(given: dict[str, Any], server: Server, pictures: list[Path]) -> bool:
    """Whether a client's numbers are those of ``/predict``."""
    with server.client() as client:
        answers = [
            client.post("/predict?top=10", files={"file": path.read_bytes()}).json()
            for path in pictures
        ]
    rows = [{each["class"]: each["confidence"] for each in answer["top"]} for answer in answers]
    probabilities = [[row[f"grey-{k}"] for k in range(10)] for row in rows]
    scores = [answer["known_score"] for answer in answers]
    return (given["probabilities"], given["known_score"]) == (probabilities, scores)
