"""One place in a store, by obstore: its objects are read and written, its errors told in one line.

Credentials, regions and endpoints are those of the environment, as each cloud names them. Every
wait is bounded, and what may pass is tried again.
"""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import AzureStore, GCSStore, HTTPStore, S3Store

from greengrocer.errors import StoreFailed
from greengrocer.safe_text import one_line
from greengrocer.stores.address import Address

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig

CHUNK = 1 << 20  # bytes of a download that are handed over together
PART = 5 << 20  # bytes of an upload that are sent in one request; S3 takes no fewer
SILENCE = timedelta(seconds=30)  # longest wait for a read, or for one part of an upload
MOST_REASON = 300  # characters of what the library says

KINDS: Mapping[str, type[S3Store | GCSStore | AzureStore | HTTPStore]] = {
    "s3": S3Store,
    "gs": GCSStore,
    "az": AzureStore,
    "https": HTTPStore,
}
# The variables that name another endpoint than the cloud's own; the first that is set counts.
ENDPOINTS = {
    "s3": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"),
    "az": ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"),
}
CREDENTIALS = {
    "s3": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_SKIP_SIGNATURE=true for a "
    "public bucket",
    "gs": "set GOOGLE_APPLICATION_CREDENTIALS to a file of credentials, or "
    "GOOGLE_SKIP_SIGNATURE=true for a public bucket",
    "az": "set AZURE_STORAGE_ACCOUNT_NAME, and AZURE_STORAGE_ACCOUNT_KEY or another of Azure's "
    "credentials",
    "https": "the server must answer without a password",
}
# What the library's text has where it looked for credentials in vain.
NO_CREDENTIALS = re.compile(
    r"/latest/(api/token|meta-data)|performing token request|Account must be specified"
    r"|Missing (AccessKeyId|SecretAccessKey)"
)
NO_BUCKET = re.compile(r"NoSuchBucket|ContainerNotFound")
REASONS = (
    ("InvalidCertificate", "its certificate is not trusted (SSL_CERT_FILE names a file of CAs)"),
    ("dns error", "there is no such host"),
    ("ConnectionRefused", "the connection is refused"),
    ("TimedOut", "it does not answer in time"),
)


class Store:
    """The objects below an address. Every method raises StoreFailed, in one line."""

    def __init__(self, address: Address) -> None:
        """Connects to nothing yet."""
        self.address = address
        with self._failures():
            self._objects = _open(address)

    def size(self, name: str) -> int | None:
        """The bytes of an object; None where there is none."""
        with self._failures():
            try:
                return int(obstore.head(self._objects, name)["size"])
            except FileNotFoundError:
                return None

    def read(self, name: str, most: int) -> bytes | None:
        """All of an object; None where there is none. One of over ``most`` bytes is not read."""
        with self._failures():
            try:
                found = obstore.get(self._objects, name)
            except FileNotFoundError as error:
                if NO_BUCKET.search(str(error)):
                    raise StoreFailed(
                        f"{self.address}: there is no bucket {self.address.bucket}"
                    ) from error
                return None
            if found.meta["size"] > most:
                raise StoreFailed(f"{self.address}: {name} has over {most} bytes")
            return bytes(found.bytes())

    def chunks(self, name: str, start: int) -> Iterator[bytes]:
        """An object from byte ``start`` on; a connection that breaks is resumed."""
        with self._failures():
            options = {"range": {"offset": start}} if start else {}
            found = obstore.get(self._objects, name, options=options)  # type: ignore[arg-type]
            for chunk in found.stream(min_chunk_size=CHUNK):
                yield bytes(chunk)

    def write(self, name: str, content: bytes) -> None:
        """Put an object there, in the place of one of this name."""
        with self._failures():
            # in parts, one after the other: each has the time that a slow line needs
            obstore.put(self._objects, name, content, chunk_size=PART, max_concurrency=1)

    @contextmanager
    def _failures(self) -> Iterator[None]:
        """Raise StoreFailed for the library's errors."""
        try:
            yield
        except (PermissionDeniedError, UnauthenticatedError) as error:
            raise StoreFailed(
                f"{self.address}: the credentials do not allow this: {_first_line(error)}"
            ) from error
        except (BaseError, OSError, ValueError) as error:
            raise StoreFailed(f"{self.address}: {_reason(error, self.address.scheme)}") from error


def _open(address: Address) -> S3Store | GCSStore | AzureStore | HTTPStore:
    retry: RetryConfig = {"max_retries": 5, "retry_timeout": timedelta(minutes=1)}
    client: ClientConfig = {
        "connect_timeout": timedelta(seconds=5),
        "read_timeout": SILENCE,
        "timeout": timedelta(hours=6),  # for all of an object
    }
    names = ENDPOINTS.get(address.scheme, ())
    endpoint = next((os.environ[name] for name in names if os.environ.get(name)), "")
    if endpoint.startswith("http://"):  # the operator has named one without TLS
        client["allow_http"] = True
    return KINDS[address.scheme].from_url(address.url, client_options=client, retry_config=retry)


def _reason(error: Exception, scheme: str) -> str:
    """Why a store failed, from the library's text, which has many lines."""
    text = str(error)
    if NO_CREDENTIALS.search(text):
        return f"there are no credentials: {CREDENTIALS[scheme]}"
    for mark, words in REASONS:
        if mark in text:
            return f"it cannot be reached: {words}"
    return _first_line(error)


def _first_line(error: Exception) -> str:
    """The first paragraph of the library's text, without users and queries: those may be secret."""
    text = str(error).partition("\n\n")[0]
    text = re.sub(r"//[^\s/]*@", "//", text)
    return one_line(re.sub(r"\?\S+", "?...", text), MOST_REASON)
