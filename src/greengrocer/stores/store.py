"""One place in a store, by obstore: its objects are read and written, its errors told in one line.

Credentials, regions and endpoints are those of the environment, as each cloud names them. Every
wait is bounded, and so is the pace of what comes; what may pass is tried again.
"""

import os
import re
import ssl
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import (
    BaseError,
    GenericError,
    PermissionDeniedError,
    UnauthenticatedError,
)
from obstore.store import AzureStore, GCSStore, HTTPStore, S3Store

from greengrocer.errors import StoreFailed
from greengrocer.safe_text import MAX_NAME, one_line, reason_of
from greengrocer.stores.address import Address
from greengrocer.stores.interruptible import answer_of, pause

if TYPE_CHECKING:
    from obstore import GetResult
    from obstore.store import ClientConfig, RetryConfig

T = TypeVar("T")

RESUMES = 5  # of one object's download
PAUSE = 0.5  # seconds before the first of them; each later one waits twice as long
PART = 5 << 20  # bytes of an upload that are sent in one request; S3 takes no fewer
SILENCE = timedelta(seconds=30)  # longest wait for a read, or for one part of an upload
# The least that must come of an object, until all of it is there. A store that sends less would
# keep every other process waiting that wants the same bundle.
PACE_BYTES = 64 << 10
PACE_SECONDS = 30.0
ANSWER_SECONDS = 180.0  # longest wait for the head of an answer, however often it is asked for
TOTAL_SECONDS = 6 * 3600.0  # for all objects of a bundle

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
ENDPOINT = re.compile(r"https?://[!-~]+", re.IGNORECASE)
HOST = re.compile(r"[\w.-]+|[0-9a-f:.]+", re.ASCII)  # in an endpoint, without the brackets of IPv6
# Where the types lie that the library raises after a panic, not all of which are Exceptions.
PANICS = frozenset({"pyo3_runtime", "pyo3_async_runtimes"})
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
# What it has where a server ignored the range that was asked for, and sent all of an object.
NO_RANGES = re.compile(r"Range request not supported|non-partial response")
REASONS = (
    ("CaUsedAsEndEntity", "its certificate is that of an authority (CA), not one that a CA signed"),
    ("InvalidCertificate", "its certificate is not trusted (SSL_CERT_FILE names a file of CAs)"),
    ("No CA certificates", "there are no CAs to trust (SSL_CERT_FILE names a file of them)"),
    ("InvalidMessage(", "what it answers is not TLS, as if it spoke http:// only"),
    ("AlertReceived(", "it refuses TLS as it is spoken here"),
    ("Parse(", "what it answers is not HTTP, as if it spoke https:// only"),
    ("dns error", "there is no such host"),
    ("ConnectionRefused", "the connection is refused"),
    ("TimedOut", "it does not answer in time"),
    ("request or response body error", "the connection broke"),
    ("kind: Connect", "the connection failed"),
)
# What the library puts around a reason.
GENERIC = re.compile(r"^Generic \w+ error: ")
ATTEMPTS = re.compile(r" in [\d.]+[nµm]?s(, after \d+ retries, [^-]*)? +- ")
CERTIFICATES = "SSL_CERT_FILE"


class Store:
    """The objects below an address. Every method raises StoreFailed, in one line."""

    def __init__(self, address: Address) -> None:
        """Connects to nothing yet."""
        self.address = address
        self._end = time.monotonic() + TOTAL_SECONDS
        with self._failures():
            self._objects = _open(address, retries=5)
            # Downloads are resumed by `chunks`: the library does so only within a minute of their
            # start, and only where the server tells an ETag.
            self._downloads = _open(address, retries=0)

    def size(self, name: str) -> int | None:
        """The bytes of an object; None where there is none."""
        with self._failures():
            try:
                head = self._answer(name, lambda: obstore.head_async(self._objects, name))
                return int(head["size"])
            except FileNotFoundError:
                return None

    def read(self, name: str, most: int) -> bytes | None:
        """All of an object; None where there is none. One of over ``most`` bytes is not read."""
        with self._failures():
            try:
                found = self._answer(name, lambda: obstore.get_async(self._objects, name))
            except FileNotFoundError as error:
                if NO_BUCKET.search(str(error)):
                    raise StoreFailed(
                        f"{self.address}: there is no bucket {self.address.bucket}"
                    ) from error
                return None
            if found.meta["size"] > most:
                raise StoreFailed(f"{self.address}: {name} has over {most} bytes")
            return b"".join(self._pieces(name, found))

    def chunks(self, name: str, start: int) -> Iterator[bytes]:
        """An object from byte ``start`` on, in pieces as they come.

        A connection that breaks is resumed, ``RESUMES`` times. A server that ignores ranges sends
        the object again from byte 0, and what of it has come before is skipped.
        """
        resumes, ranges = 0, True
        with self._failures():
            while True:
                try:
                    for chunk in self._rest(name, start, ranges=ranges):
                        start += len(chunk)
                        yield chunk
                except BaseError as error:
                    if ranges and NO_RANGES.search(str(error)):
                        ranges = False
                        continue
                    if not isinstance(error, GenericError):
                        raise
                    if resumes == RESUMES:
                        raise self._given_up(name, start, error) from error
                    pause(PAUSE * 2**resumes)
                    resumes += 1
                else:
                    return

    def _rest(self, name: str, start: int, *, ranges: bool) -> Iterator[bytes]:
        """What follows the first ``start`` bytes; asked for as a range, or cut from all of it."""
        asked, skipped = (start, 0) if ranges else (0, start)
        options = {"range": {"offset": asked}} if asked else {}
        found = self._answer(
            name,
            lambda: obstore.get_async(self._downloads, name, options=options),  # type: ignore[arg-type]
        )
        for chunk in self._pieces(name, found):
            kept = chunk[skipped:]
            skipped = max(0, skipped - len(chunk))
            if kept:
                yield kept

    def _answer(self, name: str, call: Callable[[], Awaitable[T]]) -> T:
        """The head of an answer."""
        self._go_on(name)
        try:
            return answer_of(call, ANSWER_SECONDS)
        except TimeoutError as error:
            raise self._too_slow(name, "does not answer in time") from error

    def _pieces(self, name: str, found: "GetResult") -> Iterator[bytes]:
        """An answer as it comes, while it comes fast enough, and somebody wants it."""
        begun, come = time.monotonic(), 0
        for chunk in found.stream(min_chunk_size=1):  # at once: what it held back would be lost
            yield bytes(chunk)
            self._go_on(name)
            come += len(chunk)
            now = time.monotonic()
            if now - begun >= PACE_SECONDS:
                if come < PACE_BYTES:
                    least = f"{PACE_BYTES >> 10} KiB in {PACE_SECONDS:g} seconds"
                    raise self._too_slow(name, f"comes too slowly, less than {least}")
                begun, come = now, 0

    def _go_on(self, name: str) -> None:
        """Raise CancelledError where nobody wants the bundle now, StoreFailed after its time."""
        pause()
        if time.monotonic() > self._end:
            raise self._too_slow(name, f"is not there after {TOTAL_SECONDS / 3600:g} hours")

    def _too_slow(self, name: str, why: str) -> StoreFailed:
        failed = StoreFailed(
            f"{self.address}: {name} {why}: try again later, or name another store; what has come "
            "is kept"
        )
        failed.__cause__ = TimeoutError()  # it may pass
        return failed

    def _given_up(self, name: str, start: int, error: BaseError) -> StoreFailed:
        return StoreFailed(
            f"{self.address}: {name} has come up to byte {start}, and was resumed {RESUMES} times: "
            f"{_reason(error, self.address.scheme)}; try again: what has come is kept"
        )

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
                f"{self.address}: the credentials do not allow this: {_told(error)}"
            ) from error
        except (BaseError, OSError, ValueError) as error:
            raise StoreFailed(f"{self.address}: {_reason(error, self.address.scheme)}") from error
        except BaseException as error:
            if type(error).__module__ not in PANICS:
                raise
            raise StoreFailed(
                f"{self.address}: the library fails at the address, or at an endpoint of the "
                "environment: is a host or a port mistyped?"
            ) from error


def _open(address: Address, retries: int) -> S3Store | GCSStore | AzureStore | HTTPStore:
    retry: RetryConfig = {"max_retries": retries, "retry_timeout": timedelta(minutes=1)}
    client: ClientConfig = {
        "connect_timeout": timedelta(seconds=5),
        "read_timeout": SILENCE,
        "timeout": timedelta(hours=6),  # for all of an object
    }
    if _endpoint(address.scheme).lower().startswith("http://"):  # the operator has named one
        client["allow_http"] = True
    return KINDS[address.scheme].from_url(address.url, client_options=client, retry_config=retry)


def _endpoint(scheme: str) -> str:
    """The endpoint that the environment names, "" for the cloud's own.

    Raises ValueError for one at which the library would panic.
    """
    set_ones = [name for name in ENDPOINTS.get(scheme, ()) if os.environ.get(name)]
    for name in set_ones:
        if not _is_endpoint(os.environ[name]):
            # not repeated: it may have a password
            raise ValueError(f"{name} must be http:// or https:// and a host, as http://minio:9000")
    return os.environ[set_ones[0]] if set_ones else ""


def _is_endpoint(text: str) -> bool:
    try:
        parts = urlsplit(text)
        _ = parts.port  # looks at it
    except ValueError:
        return False
    return bool(ENDPOINT.fullmatch(text) and HOST.fullmatch(parts.hostname or ""))


def _reason(error: Exception, scheme: str) -> str:
    """Why a store failed, from the library's text, which has many lines."""
    text = str(error)
    if NO_CREDENTIALS.search(text):
        return f"there are no credentials: {CREDENTIALS[scheme]}"
    if "ertificate" in text and (wrong := _wrong_certificates()):
        return f"it cannot be reached: {wrong}"
    for mark, words in REASONS:
        if mark in text:
            return f"it cannot be reached: {words}"
    return _told(error)


def _told(error: Exception) -> str:
    """The library's own words of what went wrong, in one line."""
    return ATTEMPTS.sub(": ", GENERIC.sub("", reason_of(error)))


def _wrong_certificates() -> str:
    """What is wrong with the file of CAs that the environment names; "" if nothing is."""
    file = os.environ.get(CERTIFICATES)
    if file is None:
        return ""
    shown = f"{CERTIFICATES} names {one_line(file, MAX_NAME) or 'nothing'}"
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(file)
    except ssl.SSLError:  # an OSError, too
        return f"{shown}, which has no certificate"
    except OSError as error:
        return f"{shown}: {error.strerror}"
    return ""
