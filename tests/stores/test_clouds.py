"""Each kind of address reaches its store, with the variables that its cloud knows."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from greengrocer.bundles.bundle import load_bundle
from greengrocer.bundles.manifest import GRAPH, MANIFEST
from greengrocer.errors import StoreFailed
from greengrocer.stores.address import Address
from greengrocer.stores.fetch import fetched
from greengrocer.stores.push import push
from support.bundles import write_fake_bundle
from support.documents import needed
from support.object_store import (
    ObjectStore,
    make_certificates,
    make_self_signed,
    object_store,
)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A bundle of a few bytes."""
    return write_fake_bundle(tmp_path / "small")


@pytest.fixture
def web(tmp_path: Path, store: ObjectStore) -> Iterator[tuple[ObjectStore, Path]]:
    """A web server with TLS, and the certificate of its authority."""
    del store  # only its variables are wanted
    needed("openssl")
    authority, certificate = make_certificates(tmp_path)
    with object_store(certificate) as found:
        yield found, authority


def test_a_bundle_comes_from_a_web_server_with_tls(
    web: tuple[ObjectStore, Path], small: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, authority = web
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    server.put_bundle(small, "/bucket/shop")
    directory = Path(fetched(f"{server.url}/bucket/shop", cache))
    assert (directory / "golden.jpg").read_bytes() == (small / "golden.jpg").read_bytes()
    assert not any(each.authorization for each in server.asked)


def test_a_certificate_of_an_unknown_authority_is_refused(
    web: tuple[ObjectStore, Path], small: Path, cache: Path
) -> None:
    server, _ = web
    server.put_bundle(small, "/bucket/shop")
    with pytest.raises(StoreFailed, match="its certificate is not trusted"):
        fetched(f"{server.url}/bucket/shop", cache)
    assert server.asked == []


def test_a_web_server_that_ignores_ranges_sends_a_file_again(
    web: tuple[ObjectStore, Path], bundle: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, authority = web
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    server.put_bundle(bundle, "/bucket/shop")
    server.ranges = server.etags = False
    server.break_after, server.breaks = 4_000_000, 1
    directory = Path(fetched(f"{server.url}/bucket/shop", cache))
    assert (directory / GRAPH).read_bytes() == (bundle / GRAPH).read_bytes()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, r"SSL_CERT_FILE names .*/ca: No such file"),
        ("", r"SSL_CERT_FILE names .*/ca, which has no certificate"),
        ("a key", r"SSL_CERT_FILE names .*/ca, which has no certificate"),
    ],
    ids=["missing", "empty", "no certificate"],
)
def test_a_wrong_file_of_certificates_is_named(
    web: tuple[ObjectStore, Path],
    cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    content: str | None,
    told: str,
) -> None:
    server, _ = web
    if content is not None:
        (tmp_path / "ca").write_text(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca"))
    with pytest.raises(StoreFailed, match=f"cannot be reached: {told}"):
        fetched(f"{server.url}/bucket/shop", cache)


def test_a_machine_without_certificates_is_told(
    web: tuple[ObjectStore, Path], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, _ = web
    monkeypatch.setenv("SSL_CERT_DIR", "/nope")
    with pytest.raises(StoreFailed, match="there are no CAs to trust"):
        fetched(f"{server.url}/bucket/shop", cache)


def test_a_certificate_that_is_its_own_authority_is_told(
    store: ObjectStore, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del store  # only its variables are wanted
    needed("openssl")
    certificate = make_self_signed(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with (
        object_store(certificate) as server,
        pytest.raises(StoreFailed, match="its certificate is that of an authority"),
    ):
        fetched(f"{server.url}/bucket/shop", cache)


def test_a_host_that_is_unknown_is_told(cache: Path, store: ObjectStore) -> None:
    del store
    with pytest.raises(StoreFailed, match="cannot be reached: there is no such host"):
        fetched("https://host.invalid/shop", cache)


@pytest.fixture
def google(
    web: tuple[ObjectStore, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> ObjectStore:
    """A store that `gs://bucket/...` reaches."""
    server, authority = web
    account = {
        "gcs_base_url": server.url,
        "disable_oauth": True,
        "client_email": "",
        "private_key": "",
        "private_key_id": "",
    }
    file = tmp_path / "account.json"
    file.write_text(json.dumps(account))
    monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT", str(file))
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    return server


@pytest.fixture
def azure(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    """A store that `az://bucket/...` reaches."""
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", base64.b64encode(b"secret").decode())
    monkeypatch.setenv("AZURE_STORAGE_ENDPOINT", store.url)
    return store


def test_a_bundle_goes_to_google_and_comes_back(
    google: ObjectStore, bundle: Path, cache: Path
) -> None:
    goes_and_comes("gs://bucket/shop", google, bundle, cache)


def test_a_bundle_goes_to_azure_and_comes_back(
    azure: ObjectStore, bundle: Path, cache: Path
) -> None:
    goes_and_comes("az://bucket/shop", azure, bundle, cache)
    assert all(each.authorization.startswith("SharedKey account:") for each in azure.asked)


def goes_and_comes(address: str, store: ObjectStore, bundle: Path, cache: Path) -> None:
    """Push a bundle whose graph goes in parts, and fetch it by the address that this returns."""
    pushed = push(load_bundle(bundle), Address.parsed(address)).address
    assert store.paths("PUT")[-1].endswith(f"/bucket/shop/{MANIFEST}")
    assert (Path(fetched(pushed, cache)) / GRAPH).read_bytes() == (bundle / GRAPH).read_bytes()
    store.asked.clear()
    assert push(load_bundle(bundle), Address.parsed(address)) == (pushed, False)
    assert store.paths("PUT") == []


@pytest.mark.parametrize(
    ("address", "variable"),
    [
        ("gs://bucket/shop", "GOOGLE_APPLICATION_CREDENTIALS"),
        ("az://bucket/shop", "AZURE_STORAGE_ACCOUNT_NAME"),
    ],
)
def test_missing_credentials_are_named(
    store: ObjectStore,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    address: str,
    variable: str,
) -> None:
    store.status = 404
    monkeypatch.setenv("GCE_METADATA_HOST", store.url.removeprefix("http://"))
    monkeypatch.setenv("GCE_METADATA_IP", store.url.removeprefix("http://"))
    with pytest.raises(StoreFailed, match=f"there are no credentials: set {variable}"):
        fetched(address, cache)
