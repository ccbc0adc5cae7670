"""HEIC and AVIF over HTTP: answered where the extra is installed, named where it is not."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from PIL import Image

from support import bare
from support.plugins import python_path
from support.servers import Server, clean_environment, serve_command, start_server
from support.stills import KINDS, still

GREY = Image.new("RGB", (64, 48), (100, 100, 100))
TYPES = ("image/heic", "image/heif", "image/avif")


@pytest.fixture(scope="module")
def without(fake_bundle: Path) -> Iterator[Server]:
    """A service of an installation without extras."""
    server = start_server(
        "--bundle", str(fake_bundle), "--engine", "fake", **bare.environment(bare.HEIF)
    )
    yield server
    assert server.stop() == 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("declared", TYPES)
def test_a_heif_image_is_answered(client: httpx.Client, kind: str, declared: str) -> None:
    data = still(kind, GREY)
    raw = client.post("/predict", content=data, headers={"Content-Type": declared})
    form = client.post("/predict", files={"file": ("a", data, declared)})
    assert raw.status_code == form.status_code == 200, raw.text
    assert raw.json()["prediction"] == form.json()["prediction"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_heif_image_is_explained_and_answered_in_a_batch(client: httpx.Client, kind: str) -> None:
    data = still(kind, GREY)
    files = [("file", ("a", data, "image/heic")), ("file", ("b", data[:-20], "image/heic"))]
    lines = client.post("/predict/batch", files=files).text.splitlines()
    assert ['"status":400' in line for line in lines] == [False, True]


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_heif_image_is_unreadable(client: httpx.Client, kind: str) -> None:
    data = still(kind, GREY)
    for cut in (20, 100, 300, len(data) - 5):
        reply = client.post("/predict", files={"file": ("a", data[:cut])})
        assert (reply.status_code, reply.json()["code"]) == (400, "unreadable-image")


@pytest.mark.parametrize("kind", KINDS)
def test_without_the_extra_heif_is_refused_and_named(without: Server, kind: str) -> None:
    with without.client() as client:
        form = client.post("/predict", files={"file": ("a", still(kind, GREY))})
        assert form.status_code == 415
        assert f"the file is {kind}" in form.json()["detail"]
        assert "greengrocer[heif]" in form.json()["detail"]
        assert form.json()["detail"].endswith("send JPEG, PNG or WebP")
        described = client.get("/openapi.json").json()["paths"]["/predict"]["post"]["requestBody"]
        assert not set(TYPES) & set(described["content"])
        assert "image/heic" not in client.get("/").text


def test_with_the_extra_the_page_and_openapi_offer_heif(client: httpx.Client) -> None:
    assert "image/heic" in client.get("/").text
    described = client.get("/openapi.json").json()["paths"]["/predict"]["post"]["requestBody"]
    assert set(TYPES) < set(described["content"])
    assert "HEIC" in described["description"]


def test_without_the_extra_no_heif_library_is_loaded() -> None:
    program = "import sys, greengrocer.assemble; print('pillow_heif' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout == b"False\n"


def test_a_broken_installation_ends_the_start_in_one_line(
    fake_bundle: Path, tmp_path: Path
) -> None:
    (tmp_path / "pillow_heif").mkdir()
    (tmp_path / "pillow_heif" / "__init__.py").write_text("raise OSError('libheif.so: no ELF')\n")
    done = subprocess.run(
        [*serve_command(fake_bundle), "--engine", "fake"],
        env=clean_environment() | python_path(tmp_path),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "libheif.so: no ELF" in done.stderr
    assert "greengrocer[heif]" in done.stderr
