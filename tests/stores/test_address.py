import pytest

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
        ("s3://bucket/a b", "is not an address"),
        ("s3://bucket/\u202eshop", "is not an address"),
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
