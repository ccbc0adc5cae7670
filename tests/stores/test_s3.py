"""Push and fetch against a server that speaks S3, which others wrote: moto."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from benchmarks.peers.environments import environment

from greengrocer.bundles.bundle import digest_of, load_bundle
from greengrocer.errors import BundleRefused, StoreFailed
from greengrocer.stores.address import Address
from greengrocer.stores.fetch import fetched
from greengrocer.stores.push import push
from support.bundles import write_fake_bundle
from support.documents import ROOT

pytestmark = [pytest.mark.accept, pytest.mark.leg("S3")]

SHOP = Address("s3://models/shop")
SERVING = re.compile(r"Running on (http://127\.0\.0\.1:\d+)")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The URL of the server."""
    program = environment("s3", ROOT / "requirements" / "s3.txt") / "moto_server"
    process = subprocess.Popen(
        [str(program), "-H", "127.0.0.1", "-p", "0"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"NO_COLOR": "1"},
    )
    assert process.stderr is not None
    try:
        found = next(filter(None, map(SERVING.search, process.stderr)))
        yield found[1]
    finally:
        process.terminate()
        process.wait(60)
        process.stderr.close()


@pytest.fixture
def bucket(server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty store with the bucket `models`; returns the server's URL."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "someone")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert httpx.post(f"{server}/moto-api/reset").status_code == 200
    assert httpx.put(f"{server}/models").status_code == 200
    return server


@pytest.mark.usefixtures("bucket")
def test_a_pushed_bundle_comes_back_as_it_was(bundle: Path, cache: Path) -> None:
    pinned = push(load_bundle(bundle), SHOP).address
    directory = Path(fetched(pinned, cache))
    assert digest_of(directory) == digest_of(bundle)
    for name in load_bundle(bundle).manifest.files:
        assert (directory / name).read_bytes() == (bundle / name).read_bytes()


@pytest.mark.usefixtures("bucket")
def test_a_download_that_broke_off_is_resumed(bundle: Path, cache: Path) -> None:
    pinned = push(load_bundle(bundle), SHOP).address
    partial = cache / f"{digest_of(bundle)}.partial"
    partial.mkdir(parents=True)
    part = bytearray((bundle / "model.onnx").read_bytes()[:4_000_000])
    (partial / "model.onnx").write_bytes(part)
    assert digest_of(Path(fetched(pinned, cache))) == digest_of(bundle)
    part[0] ^= 1  # so that only a download from the start could repair it
    for path in (cache / digest_of(bundle)).rglob("model.onnx"):
        path.write_bytes(b"damaged")
    partial.mkdir()
    (partial / "model.onnx").write_bytes(part)
    with pytest.raises(BundleRefused, match=r"model\.onnx has the SHA-256"):
        fetched(pinned, cache)


@pytest.mark.usefixtures("bucket")
def test_what_is_not_there_is_told(cache: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleRefused, match=f"no bundle at {SHOP}"):
        fetched(f"{SHOP}", cache)
    with pytest.raises(StoreFailed, match="there is no bucket elsewhere"):
        fetched("s3://elsewhere/shop", cache)
    with pytest.raises(StoreFailed, match="there is no bucket elsewhere"):
        push(load_bundle(write_fake_bundle(tmp_path / "small")), Address("s3://elsewhere/shop"))
