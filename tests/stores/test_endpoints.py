"""Endpoints that the environment names: what is none, or speaks something else, is one line."""

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from greengrocer.bundles.bundle import load_bundle
from greengrocer.errors import StoreFailed
from greengrocer.stores.address import Address
from greengrocer.stores.fetch import fetched
from greengrocer.stores.push import push
from support.object_store import ObjectStore

SHOP = "s3://bucket/models/shop"


@pytest.fixture
def babbling() -> Iterator[int]:
    """The port of a server that answers without HTTP."""

    def babble() -> None:
        with suppress(OSError):  # once it is shut down
            while True:
                connection, _ = server.accept()
                with connection:
                    connection.recv(1)
                    connection.sendall(b"\x15\x03\x03\x00\x02\x02\x46")  # an alert of TLS

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=babble)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join(60)


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
@pytest.mark.parametrize(
    "endpoint",
    [
        *("127.0.0.1:9", "minio:9000", "http:/127.0.0.1:9", "http://", "http://[::1"),
        *("http://minio:port", "http://minio:99999", "http://a b", " http://minio"),
        *("ftp://minio", "me:secret@minio"),
    ],
)
@pytest.mark.usefixtures("store")
def test_what_is_no_endpoint_is_refused(
    name: str,
    endpoint: str,
    bundle: Path,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(name, endpoint)
    why = f"{name} must be http:// or https:// and a host, as http://minio:9000"
    with pytest.raises(StoreFailed) as fetching:
        fetched(SHOP, cache)
    with pytest.raises(StoreFailed) as pushing:
        push(load_bundle(bundle), Address(SHOP))
    assert [str(each.value) for each in (fetching, pushing)] == [f"{SHOP}: {why}"] * 2
    assert capfd.readouterr().err == ""  # where the library prints its own traceback


@pytest.mark.usefixtures("store")
def test_an_endpoint_at_which_the_library_panics_is_refused(
    bundle: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://1.2.3.4.5:9000")
    with pytest.raises(StoreFailed, match="is a host or a port mistyped"):
        fetched(SHOP, cache)
    with pytest.raises(StoreFailed, match="is a host or a port mistyped"):
        push(load_bundle(bundle), Address(SHOP))


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("scheme", ["http", "HTTP"])
def test_an_endpoint_without_http_is_told(
    scheme: str, babbling: int, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"{scheme}://127.0.0.1:{babbling}")
    with pytest.raises(StoreFailed, match="cannot be reached: what it answers is not HTTP"):
        fetched(SHOP, cache)


def test_an_endpoint_or_a_web_server_without_tls_is_told(
    store: ObjectStore, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = store.url.replace("http:", "https:")
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    for address in (SHOP, f"{url}/shop"):
        with pytest.raises(StoreFailed, match="cannot be reached: what it answers is not TLS"):
            fetched(address, cache)


def test_what_a_store_answers_is_told_without_the_librarys_own_words(
    store: ObjectStore, cache: Path
) -> None:
    store.status = 503
    with pytest.raises(StoreFailed, match="503") as failed:
        fetched(SHOP, cache)
    told = f"{SHOP}: Error performing GET {store.url}/bucket/models/shop/manifest.json: Server "
    assert str(failed.value).startswith(told)
