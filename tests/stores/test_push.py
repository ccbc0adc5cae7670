"""A bundle is written to a store whole, its manifest last; another one stays."""

from pathlib import Path

import pytest

from greengrocer.bundles.bundle import digest_of, load_bundle
from greengrocer.bundles.manifest import MANIFEST
from greengrocer.cli.main import main
from greengrocer.errors import BundleRefused, StoreFailed, UsageError
from greengrocer.stores.address import Address
from greengrocer.stores.fetch import fetched
from greengrocer.stores.push import push
from support.bundles import write_fake_bundle
from support.object_store import ObjectStore

SHOP = Address("s3://bucket/shop")
PLACE = "/bucket/shop"


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """Another version."""
    return write_fake_bundle(tmp_path / "other", version="2")


def test_a_pushed_bundle_is_fetched_by_the_printed_address(
    store: ObjectStore, bundle: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["push", str(bundle), f"{SHOP}"]) == 0
    said = capsys.readouterr()
    assert "nothing was written" not in said.err
    printed = said.out.strip()
    assert printed == f"{SHOP}@sha256:{digest_of(bundle)}"
    directory = Path(fetched(printed, cache))
    assert digest_of(directory) == digest_of(bundle)
    assert store.paths("PUT")[-1] == f"{PLACE}/{MANIFEST}"


def test_the_same_bundle_is_not_written_again_and_the_command_says_so(
    store: ObjectStore, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pushed = push(load_bundle(bundle), SHOP).address
    store.asked.clear()
    assert main(["push", str(bundle), f"{SHOP}"]) == 0
    assert store.paths("PUT") == []
    said = capsys.readouterr()
    assert said.out == f"{pushed}\n"
    assert "nothing was written: this bundle is there already; --replace" in said.err


def test_a_damaged_bundle_is_repaired_by_replacing_it_with_itself(
    store: ObjectStore, bundle: Path, cache: Path
) -> None:
    pushed = push(load_bundle(bundle), SHOP).address
    sound = dict(store.objects)
    store.objects[f"{PLACE}/golden.jpg"] = b"damaged"
    with pytest.raises(BundleRefused, match=r"SHA-256.*: write .* as by `greengrocer push --rep"):
        fetched(pushed, cache)
    assert push(load_bundle(bundle), SHOP, replace=True) == (pushed, True)
    assert store.objects == sound
    assert digest_of(Path(fetched(pushed, cache))) == digest_of(bundle)


def test_after_a_replacement_that_broke_off_the_bundle_before_can_be_put_back(
    store: ObjectStore, bundle: Path, other: Path
) -> None:
    push(load_bundle(bundle), SHOP)
    before = dict(store.objects)
    verified = load_bundle(other)
    (other / "golden.jpg").write_bytes(b"changed since")
    with pytest.raises(BundleRefused):
        push(verified, SHOP, replace=True)
    assert store.objects != before
    push(load_bundle(bundle), SHOP, replace=True)
    assert store.objects == before


def test_another_bundle_stays_unless_it_is_to_be_replaced(
    store: ObjectStore, bundle: Path, other: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    push(load_bundle(bundle), SHOP)
    before = dict(store.objects)
    assert main(["push", str(other), f"{SHOP}"]) == 2
    assert f"with the digest {digest_of(bundle)}" in capsys.readouterr().err
    assert store.objects == before
    assert main(["push", str(other), f"{SHOP}", "--replace"]) == 0
    assert store.objects[f"{PLACE}/{MANIFEST}"] == (other / MANIFEST).read_bytes()


def test_a_push_that_breaks_off_leaves_no_bundle(
    store: ObjectStore, bundle: Path, cache: Path
) -> None:
    verified = load_bundle(bundle)
    (bundle / "golden.jpg").write_bytes(b"changed since")
    with pytest.raises(BundleRefused, match=r"golden\.jpg"):
        push(verified, SHOP)
    assert set(store.paths("PUT")) == {f"{PLACE}/model.onnx"}
    with pytest.raises(BundleRefused, match=f"no bundle at {SHOP}"):
        fetched(f"{SHOP}", cache)


def test_a_store_that_may_not_be_written_is_told(store: ObjectStore, bundle: Path) -> None:
    store.status = 403
    with pytest.raises(StoreFailed, match="the credentials do not allow this"):
        push(load_bundle(bundle), SHOP)


@pytest.mark.parametrize("where", ["/tmp/x", "http://models.example/x", "file:///tmp/x", "x"])
def test_a_place_that_is_no_store_is_told_where_bundles_are_pushed_to(
    where: str, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["push", str(bundle), where]) == 2
    assert f"{where}: a bundle is pushed to s3://, gs:// or az://\n" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("address", "why"),
    [
        (Address("https://models.example/shop"), "pushed to s3://, gs:// or az://"),
        (Address("s3://bucket/shop", "0" * 64), "name no digest"),
    ],
)
def test_where_nothing_is_written_is_said(
    store: ObjectStore, bundle: Path, address: Address, why: str
) -> None:
    with pytest.raises(UsageError, match=why):
        push(load_bundle(bundle), address)
    assert store.asked == []
