"""What the tests share: pictures that they make, a small bundle, and real servers."""

import hashlib
import io
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from greengrocer.bundles.manifest import GRAPH, Golden, Manifest, write_manifest
from greengrocer.engines.fake_engine import FakeEngine
from greengrocer.imaging.decode import decode
from greengrocer.imaging.geometry import Geometry, fit

START_SECONDS = 60.0  # generous: only a hang takes as long
CLASSES = tuple(f"grey-{k}" for k in range(10))


def jpeg(level: int, size: tuple[int, int] = (64, 48), quality: int = 90) -> bytes:
    """A plain grey JPEG; the fake engine tells its level."""
    return encoded(Image.new("RGB", size, (level, level, level)), "JPEG", quality=quality)


def encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
    """A picture's bytes in the format ``kind``."""
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def photo(seed: int, size: tuple[int, int] = (320, 240)) -> Image.Image:
    """A smooth random picture, different for every seed."""
    random = np.random.default_rng(seed)
    small = random.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)


def write_fake_bundle(directory: Path, hierarchy: bool = True) -> Path:
    """A bundle for the fake engine: ten levels of grey, in two halves."""
    directory.mkdir(parents=True)
    (directory / GRAPH).write_bytes(b"no graph: the fake engine needs none")
    (directory / "golden.jpg").write_bytes(jpeg(100))
    files = {
        name: hashlib.sha256((directory / name).read_bytes()).hexdigest()
        for name in (GRAPH, "golden.jpg")
    }
    manifest = Manifest(
        name="greys",
        version="1",
        classes=CLASSES,
        coarse=("dark", "light") if hierarchy else None,
        coarse_of=(0,) * 5 + (1,) * 5 if hierarchy else None,
        geometry=Geometry(width=32, height=32),
        known_threshold=0.5,
        goldens=(Golden(file="golden.jpg", prediction=CLASSES[3], confidence=0.5),),
        golden_tolerance=0.5,
        files=files,
    )
    pixels = fit(decode(jpeg(100)), manifest.geometry)
    probabilities = FakeEngine(directory, manifest, "cpu", 1).infer(pixels[None]).probabilities[0]
    golden = Golden(file="golden.jpg", prediction=CLASSES[3], confidence=float(probabilities[3]))
    write_manifest(manifest.model_copy(update={"goldens": (golden,)}), directory)
    return directory


@dataclass
class Server:
    """A running ``greengrocer serve`` and what it has logged so far."""

    process: subprocess.Popen[str]
    url: str
    log: list[str] = field(default_factory=list)

    def client(self) -> httpx.Client:
        """A client of this server."""
        return httpx.Client(base_url=self.url, timeout=60)

    def stop(self) -> int:
        """Ask it to stop, and return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=START_SECONDS)


StartServer = Callable[..., Server]


def clean_environment() -> dict[str, str]:
    """This environment without settings of Greengrocer's."""
    return {k: v for k, v in os.environ.items() if not k.startswith("GREENGROCER_")}


def start_server(*flags: str) -> Server:
    """Start ``greengrocer serve`` on a free port and wait until it says where it serves."""
    command = [sys.executable, "-m", "greengrocer", "serve", "--port", "0", *flags]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=clean_environment(), bufsize=1
    )
    assert process.stderr is not None
    log: list[str] = []
    for line in process.stderr:
        log.append(line)
        if "serving" in line and "url=" in line:
            url = line.split("url=")[1].split()[0]
            server = Server(process, url, log)
            threading.Thread(target=log.extend, args=(process.stderr,), daemon=True).start()
            return server
    raise AssertionError(f"the server did not start:\n{''.join(log)}")


@pytest.fixture(scope="session")
def fake_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that needs no model."""
    return write_fake_bundle(tmp_path_factory.mktemp("bundles") / "greys")


@pytest.fixture(scope="session")
def fake_server(fake_bundle: Path) -> Iterator[Server]:
    """A real server with the fake engine and default limits."""
    server = start_server("--bundle", str(fake_bundle), "--engine", "fake")
    yield server
    assert server.stop() == 0, "".join(server.log)


@pytest.fixture
def serve() -> Iterator[StartServer]:
    """Start servers with flags of the test's own; they are stopped at its end."""
    servers: list[Server] = []

    def start(*flags: str) -> Server:
        servers.append(start_server(*flags))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture(scope="session")
def dataset() -> Path:
    """The Grocery Store Dataset, where GREENGROCER_DATA names it."""
    directory = os.environ.get("GREENGROCER_DATA")
    if not directory:
        pytest.skip("GREENGROCER_DATA is not set: it names the Grocery Store Dataset")
    return Path(directory)
