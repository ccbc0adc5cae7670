"""A bundle is fetched whole, once, verified and resumed; what is wrong is told in one line."""

import json
import signal
import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from greengrocer.bundles.bundle import digest_of, load_bundle
from greengrocer.bundles.files import MAX_BYTES
from greengrocer.bundles.manifest import GRAPH, MANIFEST, MAX_MANIFEST_BYTES
from greengrocer.errors import BundleRefused, MissingExtra, StoreFailed, UsageError
from greengrocer.stores.fetch import fetched
from support.object_store import ObjectStore
from support.servers import clean_environment

SHOP = "s3://bucket/models/shop"
PLACE = "/bucket/models/shop"
INTERRUPTIBLE = """
import signal, sys
from greengrocer.__main__ import main
signal.signal(signal.SIGINT, signal.default_int_handler)  # where no terminal is, it may be ignored
sys.exit(main())
"""


def contents(directory: Path) -> dict[str, bytes]:
    """Every file below a directory."""
    files = [path for path in directory.rglob("*") if path.is_file()]
    return {str(path.relative_to(directory)): path.read_bytes() for path in files}


def test_a_name_or_a_directory_stays_as_it_is() -> None:
    assert fetched("grocery") == "grocery"
    assert fetched("runs/shop") == "runs/shop"


def test_a_fetched_bundle_is_the_one_in_the_store(
    store: ObjectStore, bundle: Path, cache: Path
) -> None:
    store.put_bundle(bundle, PLACE)
    directory = Path(fetched(SHOP, cache))
    assert directory == cache / digest_of(bundle)
    assert contents(directory) == contents(bundle)
    assert load_bundle(directory).manifest.name == "greys"
    assert all(each.authorization.startswith("AWS4-HMAC-SHA256") for each in store.asked)


def test_a_bundle_named_by_its_digest_needs_no_connection_once_it_is_there(
    store: ObjectStore, bundle: Path, cache: Path
) -> None:
    store.put_bundle(bundle, PLACE)
    address = f"{SHOP}@sha256:{digest_of(bundle)}"
    first = fetched(address, cache)
    store.asked.clear()
    assert fetched(address, cache) == first
    assert store.asked == []


def test_an_address_in_capitals_is_the_same_one(
    store: ObjectStore, bundle: Path, cache: Path
) -> None:
    store.put_bundle(bundle, PLACE)
    assert fetched(SHOP.replace("s3", "S3"), cache) == fetched(SHOP, cache)


def test_without_a_digest_the_manifest_alone_is_read_again(
    store: ObjectStore, bundle: Path, cache: Path
) -> None:
    store.put_bundle(bundle, PLACE)
    first = fetched(SHOP, cache)
    store.asked.clear()
    assert fetched(SHOP, cache) == first
    assert store.paths("GET") == [f"{PLACE}/{MANIFEST}"]


def test_another_bundle_than_the_named_one_is_refused(
    store: ObjectStore, bundle: Path, cache: Path
) -> None:
    store.put_bundle(bundle, PLACE)
    with pytest.raises(BundleRefused, match=f"has the digest {digest_of(bundle)}, not 0000"):
        fetched(f"{SHOP}@sha256:{'0' * 64}", cache)
    assert store.paths("GET") == [f"{PLACE}/{MANIFEST}"]
    assert not cache.exists()


def test_a_connection_that_breaks_is_resumed(store: ObjectStore, bundle: Path, cache: Path) -> None:
    store.put_bundle(bundle, PLACE)
    store.break_after = 2_000_000
    fetched(SHOP, cache)
    starts = [each.start for each in store.asked if each.path.endswith(GRAPH)]
    assert starts == [0, 0, 2_000_000, 4_000_000]  # the first asks for the size
    assert store.sent == sum(map(len, contents(bundle).values()))


@pytest.mark.parametrize("left", [0, 3_000_000], ids=["nothing is there", "a part is there"])
def test_a_server_that_ignores_ranges_sends_a_file_again(
    store: ObjectStore, bundle: Path, cache: Path, left: int
) -> None:
    store.put_bundle(bundle, PLACE)
    store.ranges = False
    store.break_after, store.breaks = 4_000_000, 1
    partial = cache / f"{digest_of(bundle)}.partial"
    partial.mkdir(parents=True)
    (partial / GRAPH).write_bytes((bundle / GRAPH).read_bytes()[:left])
    assert contents(Path(fetched(SHOP, cache))) == contents(bundle)


def test_without_an_etag_a_connection_that_breaks_is_resumed(
    store: ObjectStore, bundle: Path, cache: Path
) -> None:
    store.put_bundle(bundle, PLACE)
    store.etags = False
    store.break_after = 2_000_000
    assert contents(Path(fetched(SHOP, cache))) == contents(bundle)
    assert store.sent == sum(map(len, contents(bundle).values()))


@pytest.mark.accept
def test_a_connection_that_breaks_after_minutes_is_resumed(
    store: ObjectStore, bundle: Path, cache: Path
) -> None:
    store.put_bundle(bundle, PLACE)
    store.break_after, store.breaks = 4_000_000, 1
    store.pause = 20.0  # the library itself resumes for one minute
    assert contents(Path(fetched(SHOP, cache))) == contents(bundle)
    starts = [each.start for each in store.asked if each.path.endswith(GRAPH)]
    assert starts == [0, 0, 4_000_000]


def test_a_download_that_was_given_up_is_resumed_by_the_next(
    store: ObjectStore, bundle: Path, cache: Path
) -> None:
    store.put_bundle(bundle, PLACE)
    store.break_after = 300_000
    with pytest.raises(StoreFailed, match=r"was resumed 5 times: .*the connection broke") as failed:
        fetched(SHOP, cache)
    assert str(failed.value).startswith(f"{SHOP}: {GRAPH} has come up to byte 1800000")
    assert [path.name for path in cache.iterdir()] == [f"{digest_of(bundle)}.partial"]
    store.break_after = None
    before = store.sent
    have = (cache / f"{digest_of(bundle)}.partial" / GRAPH).stat().st_size
    assert have == 1_800_000
    assert contents(Path(fetched(SHOP, cache))) == contents(bundle)
    assert store.sent - before <= sum(map(len, contents(bundle).values())) - have
    assert [path.name for path in cache.iterdir()] == [digest_of(bundle)]


def test_a_damaged_object_is_refused_and_nothing_of_it_stays(
    store: ObjectStore, bundle: Path, cache: Path
) -> None:
    store.put_bundle(bundle, PLACE)
    store.objects[f"{PLACE}/{GRAPH}"] = bytes(1000)
    with pytest.raises(BundleRefused, match=rf"^bundle {SHOP}: {GRAPH} has the SHA-256"):
        fetched(SHOP, cache)
    assert list(cache.iterdir()) == []


def test_a_damaged_bundle_of_the_cache_is_fetched_again(
    store: ObjectStore, bundle: Path, cache: Path
) -> None:
    store.put_bundle(bundle, PLACE)
    address = f"{SHOP}@sha256:{digest_of(bundle)}"
    directory = Path(fetched(address, cache))
    (directory / GRAPH).write_bytes(b"damaged")
    assert contents(Path(fetched(address, cache))) == contents(bundle)


def test_two_at_once_share_one_download(store: ObjectStore, bundle: Path, cache: Path) -> None:
    store.put_bundle(bundle, PLACE)
    store.gate = threading.Event()
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(fetched(SHOP, cache))) for _ in "12"]
    threads[0].start()
    assert store.waiting.wait(60)
    threads[1].start()
    store.gate.set()
    for thread in threads:
        thread.join(60)
    assert found == [str(cache / digest_of(bundle))] * 2
    assert store.paths("GET").count(f"{PLACE}/{GRAPH}") == 1
    assert [path.name for path in cache.iterdir()] == [digest_of(bundle)]


@pytest.mark.usefixtures("store")
def test_a_place_without_a_manifest_is_no_bundle(cache: Path) -> None:
    with pytest.raises(BundleRefused, match=f"no bundle at {SHOP}: it has no {MANIFEST}"):
        fetched(SHOP, cache)


def test_what_is_no_manifest_is_refused(store: ObjectStore, bundle: Path, cache: Path) -> None:
    store.put_bundle(bundle, PLACE)
    store.objects[f"{PLACE}/{MANIFEST}"] = b"<html>"
    with pytest.raises(BundleRefused, match=f"^bundle {SHOP}: {MANIFEST}: Invalid JSON"):
        fetched(SHOP, cache)
    assert list(cache.iterdir()) == []


def test_a_missing_file_is_refused_before_any_is_taken(
    store: ObjectStore, bundle: Path, cache: Path
) -> None:
    store.put_bundle(bundle, PLACE)
    del store.objects[f"{PLACE}/golden.jpg"]
    with pytest.raises(BundleRefused, match=r"golden\.jpg is missing: .* `greengrocer push --rep"):
        fetched(SHOP, cache)
    assert store.paths("GET") == [f"{PLACE}/{MANIFEST}"]
    assert list(cache.iterdir()) == []


def test_a_bundle_that_is_too_large_is_refused_before_any_byte_is_taken(
    store: ObjectStore, bundle: Path, cache: Path
) -> None:
    store.put_bundle(bundle, PLACE)
    store.claims[f"{PLACE}/{GRAPH}"] = MAX_BYTES + 1
    with pytest.raises(BundleRefused, match=f"larger than {MAX_BYTES} bytes"):
        fetched(SHOP, cache)
    assert store.paths("GET") == [f"{PLACE}/{MANIFEST}"]
    assert list(cache.iterdir()) == []


def test_more_bytes_than_were_announced_are_not_taken(
    store: ObjectStore, bundle: Path, cache: Path
) -> None:
    store.put_bundle(bundle, PLACE)
    store.claims[f"{PLACE}/{GRAPH}"] = 1000
    with pytest.raises(BundleRefused, match=f"{GRAPH} has more bytes than the server said"):
        fetched(SHOP, cache)
    assert list(cache.iterdir()) == []


def test_a_manifest_that_is_too_large_is_not_taken(store: ObjectStore, cache: Path) -> None:
    store.objects[f"{PLACE}/{MANIFEST}"] = bytes(MAX_MANIFEST_BYTES + 1)
    with pytest.raises(StoreFailed, match=f"{MANIFEST} has over {MAX_MANIFEST_BYTES} bytes"):
        fetched(SHOP, cache)


def test_a_manifest_that_lists_itself_is_refused(
    store: ObjectStore, bundle: Path, cache: Path
) -> None:
    manifest = json.loads((bundle / MANIFEST).read_text())
    manifest["files"][MANIFEST] = "0" * 64
    (bundle / MANIFEST).write_text(json.dumps(manifest))
    store.put_bundle(bundle, PLACE)
    with pytest.raises(BundleRefused, match=MANIFEST):
        fetched(SHOP, cache)


@pytest.mark.usefixtures("store")
def test_a_bucket_that_is_not_there_is_named(cache: Path) -> None:
    with pytest.raises(StoreFailed, match="there is no bucket elsewhere"):
        fetched("s3://elsewhere/shop", cache)


def test_missing_credentials_are_named(
    store: ObjectStore, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(StoreFailed, match="there are no credentials: set AWS_ACCESS_KEY_ID"):
        fetched(SHOP, cache)
    store.status = 404
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", store.url)  # a machine that is not the cloud's
    with pytest.raises(StoreFailed, match="there are no credentials: set AWS_ACCESS_KEY_ID"):
        fetched(SHOP, cache)


@pytest.mark.parametrize("status", [401, 403])
def test_credentials_that_do_not_suffice_are_named(
    store: ObjectStore, cache: Path, status: int
) -> None:
    store.status = status
    with pytest.raises(StoreFailed, match="the credentials do not allow this"):
        fetched(SHOP, cache)
    assert len(store.asked) == 1


def test_a_store_that_is_out_of_reach_is_told_after_a_bounded_number_of_attempts(
    store: ObjectStore, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.status = 503
    with pytest.raises(StoreFailed, match="503"):
        fetched(SHOP, cache)
    assert 2 <= len(store.asked) <= 20
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(StoreFailed, match="cannot be reached: the connection is refused"):
        fetched(SHOP, cache)


def test_a_store_that_says_nothing_is_given_up(
    store: ObjectStore, bundle: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("greengrocer.stores.store.SILENCE", timedelta(seconds=0.2))
    store.put_bundle(bundle, PLACE)
    store.gate = threading.Event()
    with pytest.raises(StoreFailed, match="does not answer in time"):
        fetched(SHOP, cache)
    assert store.paths("GET").count(f"{PLACE}/{GRAPH}") > 1


def test_a_path_that_looks_like_that_of_credentials_is_one_like_any_other(
    store: ObjectStore, cache: Path
) -> None:
    store.status = 503
    with pytest.raises(StoreFailed, match="503"):
        fetched("s3://bucket/latest/shop", cache)


def test_without_the_extra_the_error_says_how_to_get_it(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "greengrocer.stores.store", raising=False)
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(MissingExtra, match=r"pip install 'greengrocer\[stores\]'"):
        fetched(SHOP, cache)


def test_a_cache_that_cannot_be_written_is_named(
    store: ObjectStore, bundle: Path, tmp_path: Path
) -> None:
    store.put_bundle(bundle, PLACE)
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"cannot write to .*file/bundles.*--bundle-cache"):
        fetched(SHOP, tmp_path / "file" / "bundles")


def test_ctrl_c_ends_a_fetch_at_once(store: ObjectStore, bundle: Path, tmp_path: Path) -> None:
    store.put_bundle(bundle, PLACE)
    store.gate = threading.Event()
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTIBLE, "info", "--bundle", SHOP],
        env=clean_environment() | {"XDG_CACHE_HOME": str(tmp_path)},
    )
    assert store.waiting.wait(60)
    process.send_signal(signal.SIGINT)
    # the store would be given up after three minutes
    assert process.wait(60) == 130
