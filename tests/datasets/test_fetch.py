"""Downloads over HTTP from a server that drops, lies, refuses or does not run."""

import io
import socket
from pathlib import Path

import pytest

from greengrocer.datasets import download as module
from greengrocer.datasets import fetch
from greengrocer.datasets.download import download, download_listed
from greengrocer.errors import DownloadFailed, UsageError
from support.downloads import Files, Listing, Pack, Server, check_done


def test_the_default_source_is_fetched_by_its_url(
    server: Server,
    files: Files,
    listing: Listing,
    destination: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "DEFAULT_SOURCE", server.url)
    monkeypatch.setattr(module, "shipped_checksums", lambda: listing)

    assert download(destination).written == len(files)

    check_done(destination, files)


def test_redirects_are_followed_and_a_zip_needs_no_suffix(
    server: Server, files: Files, listing: Listing, destination: Path, pack: Pack
) -> None:
    server.content = pack(files)
    server.script = ["redirect"]

    download_listed(destination, server.url, listing)

    check_done(destination, files)


def test_attempts_are_bounded(server: Server, listing: Listing, destination: Path) -> None:
    server.script = ["503"] * 100

    with pytest.raises(DownloadFailed, match="the server answers 503 Service Unavailable; check"):
        download_listed(destination, server.url, listing)

    assert len(server.asked) == len(fetch.PAUSES) + 1


def test_a_refusal_is_not_retried(server: Server, listing: Listing, destination: Path) -> None:
    server.script = ["404"]

    with pytest.raises(DownloadFailed, match=f"{server.url}: the server answers 404 Not Found"):
        download_listed(destination, server.url, listing)

    assert len(server.asked) == 1
    assert not destination.exists()


def test_offline_is_one_line_that_names_the_url(
    listing: Listing, destination: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(fetch, "PAUSES", (0,))
    with socket.socket() as bound:  # but not listening: a connection is refused
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}/archive"
        with pytest.raises(DownloadFailed) as caught:
            download_listed(destination, url, listing)

    assert str(caught.value).startswith(f"cannot download {url}: ")
    assert "--from" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_refused_url_is_named_without_its_secrets(listing: Listing, destination: Path) -> None:
    with pytest.raises(
        DownloadFailed, match=r"cannot download ftp://127\.0\.0\.1/a\.zip: "
    ) as caught:
        download_listed(destination, "ftp://me:secret@127.0.0.1/a.zip?key=secret", listing)

    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/a.zip", "http://", "http://a..b/", "http://\0/"])
def test_an_invalid_url_is_one_line(listing: Listing, destination: Path, url: str) -> None:
    with pytest.raises(DownloadFailed) as caught:
        download_listed(destination, url, listing)

    assert str(caught.value).startswith(f"cannot download {url}: ")


def test_an_archive_with_wrong_content_is_not_kept(
    server: Server, files: Files, listing: Listing, destination: Path, pack: Pack
) -> None:
    good = server.content
    server.content = pack({**files, "LICENSE": b"other"})
    with pytest.raises(DownloadFailed, match=f"LICENSE in {server.url} is not the listed file"):
        download_listed(destination, server.url, listing)
    server.content = b"<html>Please log in"
    with pytest.raises(DownloadFailed, match=r"neither a \.tar\.gz nor a \.zip"):
        download_listed(destination, server.url, listing)
    server.content = good

    assert download_listed(destination, server.url, listing).written == 1

    check_done(destination, files)


def test_too_large_an_archive_is_refused(
    server: Server, listing: Listing, destination: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "ARCHIVE_LIMIT", 1000)

    with pytest.raises(DownloadFailed, match="is refused: it has more than 1000 bytes"):
        download_listed(destination, server.url, listing)


def test_an_unwritable_destination_is_one_line(
    server: Server, listing: Listing, destination: Path
) -> None:
    destination.with_name("groceries.download.partial").mkdir(parents=True)

    with pytest.raises(UsageError, match=r"cannot write to .*groceries.download: Is a directory"):
        download_listed(destination, server.url, listing)


def test_a_terminal_shows_bytes_and_the_remaining_time(
    server: Server, listing: Listing, destination: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)

    download_listed(destination, server.url, listing)

    assert "Downloading:   0%" in terminal.getvalue()
    assert "B/s]" in terminal.getvalue()
    assert "Writing:   0%" in terminal.getvalue()
