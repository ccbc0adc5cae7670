"""A store as S3 is one, which the environment names, and bundles to put into it."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from greengrocer.bundles.manifest import GRAPH, read_manifest, write_manifest
from support.bundles import digests, write_fake_bundle
from support.object_store import ObjectStore, object_store

BYTES = 6_000_000  # of the graph: several of the pieces in which it comes, and goes


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectStore]:
    """A store that `s3://bucket/...` reaches, and no other cloud's variables."""
    for name in os.environ:
        if name.startswith(("AWS_", "GOOGLE_", "AZURE_", "SSL_CERT_")):
            monkeypatch.delenv(name)
    monkeypatch.setattr("greengrocer.stores.store.PAUSE", 0.01)
    with object_store() as found:
        monkeypatch.setenv("AWS_ENDPOINT_URL", found.url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "someone")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield found


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A bundle for the fake engine whose graph has several megabytes."""
    directory = write_fake_bundle(tmp_path / "greys")
    (directory / GRAPH).write_bytes(os.urandom(BYTES))
    manifest = read_manifest(directory)
    files = digests(directory, *manifest.files)
    write_manifest(manifest.model_copy(update={"files": files}), directory)
    return directory


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """The folder of fetched bundles; it is not there yet."""
    return tmp_path / "cache"
