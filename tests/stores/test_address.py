import pytest

from greengrocer.bundles.bundle import find_bundle
from greengrocer.errors import UsageError
from greengrocer.read_settings import read_settings
from greengrocer.stores.address import Address, is_address

DIGEST = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "scheme", "bucket"),
    [
        ("s3://bucket/models/shop", "s3", "bucket"),
        ("gs://bucket/shop", "gs", "bucket"),
        ("az://container/shop", "az", "container"),
        ("https://models.example:8443/shop", "https", "models.example:8443"),
    ],
)
def test_an_address_names_a_place_and_perhaps_a_digest(text: str, scheme: str, bucket: str) -> None:
    assert is_address(text)
    plain, pinned = Address.parsed(text), Address.parsed(f"{text}/@sha256:{DIGEST}")
    assert (plain.url, plain.digest) == (text, None)
    assert (pinned.url, pinned.digest) == (text, DIGEST)
    assert (pinned.scheme, pinned.bucket) == (scheme, bucket)
    assert Address.parsed(plain.pinned(DIGEST)) == pinned


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("HTTPS://models.example/Shop", "https://models.example/Shop"),
        (f"S3://bucket/Shop@sha256:{DIGEST}", "s3://bucket/Shop"),
        ("Gs://bucket/shop", "gs://bucket/shop"),
    ],
)
def test_a_scheme_may_be_written_in_capitals(written: str, read: str) -> None:
    assert is_address(written)
    address = Address.parsed(written)
    assert (address.url, address.scheme) == (read, read.partition(":")[0])


@pytest.mark.parametrize("text", ["grocery", "runs/shop", "/srv/a:b//c", "shop@next", "://x", ""])
def test_a_name_or_a_path_is_no_address(text: str) -> None:
    assert not is_address(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("http://models.example/shop", "not http://"),
        ("file:///etc", "not file://"),
        ("ftp://models.example/shop", "s3://, gs://, az://, https://, not ftp://"),
        ("s3://", "is not an address, as s3://bucket/shop"),
        ("s3://bucket/shop \xfc/v1", r"it has ' ', '\\xfc', but only visible ASCII"),
        ("s3://bucket/\u202eshop", r"it has '\\u202e', but"),
        ("https://[::1/shop", "is not an address"),
        ("s3://bucket/shop@sha256:", "64 hexadecimal digits"),
        (f"s3://bucket/shop@sha256:{DIGEST}0", "64 hexadecimal digits"),
        (f"s3://bucket/shop@sha256:{DIGEST.upper()}", "64 hexadecimal digits"),
    ],
)
def test_what_is_wrong_with_an_address_is_said(text: str, why: str) -> None:
    with pytest.raises(UsageError, match=why) as refused:
        Address.parsed(text)
    assert str(refused.value).isprintable()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://me:secret@models.example/shop", "http://models.example/shop: a bundle"),
        ("ftp://secret@models.example/shop@next", "ftp://models.example/shop@next: a bundle"),
        ("s3://key:secret@bucket/x@sha256:12", "s3://bucket/x@sha256:12: @sha256: must"),
        ("s3://key:a@sha256:secret@bucket/x", "s3://bucket/x: @sha256: must"),
        ("s3://key:secret@bucket/a b", "s3://bucket/a b is not"),
        (" s3://key:secret@bucket/x", " s3://bucket/x is not"),
        ("s3:/key:secret@bucket/x", "s3:/bucket/x is not"),
        ("https://me:sec/secret@models.example:80/shop b", "https://models.example:80/shop b is"),
        ("https://me:sec?secret@models.example/shop b", "https://models.example/shop b is"),
        ("https://[me:secret@models.example/shop", "https://models.example/shop is not"),
        ("https://me:secret@models.example\u2100/shop", "https://models.example\u2100/shop is not"),
        ("http://models.example:80/a@b?sig=secret", "http://models.example:80/a@b: a bundle"),
        ("s3://bucket/x?sig=secret@sha256:12", "s3://bucket/x@sha256:12: @sha256: must"),
        ("s3://bucket/x y#secret", "s3://bucket/x y is not"),
    ],
)
def test_no_refusal_of_an_address_repeats_a_secret(text: str, shown: str) -> None:
    assert is_address(text)
    with pytest.raises(UsageError) as refused:
        Address.parsed(text)
    assert str(refused.value).startswith(shown)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "given",
    [
        {"bundles": ["x:/key:secret@bucket/x", "x:/key:secret@bucket/x\0"]},
        {"bundles": {"s3://key:secret@bucket/x": 1}},
        {"bundles": ["x:/key:secret@bucket/x"] * 2},
        {"api_keys": "s3://key:secret@bucket/x\0"},
    ],
)
def test_no_refusal_of_a_setting_repeats_a_secret_in_an_address(given: dict[str, object]) -> None:
    with pytest.raises(UsageError) as refused:
        read_settings(given)
    assert "secret" not in str(refused.value)


def test_a_mistyped_address_is_not_repeated_as_a_bundles_name() -> None:
    with pytest.raises(UsageError, match="there is no bundle 'x:/bucket/x'"):
        find_bundle("x:/key:secret@bucket/x")


@pytest.mark.parametrize(
    "text",
    ["https://me:secret@models.example/shop", "https://models.example/shop?signature=secret"],
)
def test_an_address_holds_no_secret_and_none_is_repeated(text: str) -> None:
    with pytest.raises(UsageError, match="credentials come from the environment") as refused:
        Address.parsed(text)
    assert "secret" not in str(refused.value)
    with pytest.raises(UsageError, match="credentials come from the environment") as refused:
        read_settings({"bundles": ["grocery", f"shop={text}"]})
    assert "secret" not in str(refused.value)
