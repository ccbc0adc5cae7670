"""Interrupted downloads: what the next attempt or run requests."""

from pathlib import Path

import pytest

from greengrocer.datasets import download as module
from greengrocer.datasets import fetch
from greengrocer.datasets.download import download_listed
from greengrocer.datasets.writing import write_whole
from greengrocer.errors import DownloadFailed
from support.downloads import Files, Listing, Pack, Server, check_done


def half(server: Server) -> int:
    return len(server.content) // 2


def test_an_interrupted_download_continues_where_it_stopped(
    server: Server, files: Files, listing: Listing, destination: Path
) -> None:
    server.script = ["drop"]

    download_listed(destination, server.url, listing)

    assert "range" not in server.asked[0]
    assert server.asked[1]["range"] == f"bytes={half(server)}-"
    assert server.asked[1]["if-range"] == '"first"'
    assert sum(server.sent) == len(server.content)
    check_done(destination, files)


def test_the_next_run_continues_where_the_last_stopped(
    server: Server,
    files: Files,
    listing: Listing,
    destination: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fetch, "PAUSES", ())
    server.script = ["drop"]

    with pytest.raises(DownloadFailed) as caught:
        download_listed(destination, server.url, listing)

    assert str(caught.value).startswith(f"cannot download {server.url}: ")
    assert "\n" not in str(caught.value)
    kept = destination.with_name("groceries.download.partial")
    assert kept.read_bytes() == server.content[: half(server)]

    download_listed(destination, server.url, listing)

    assert server.asked[1]["range"] == f"bytes={half(server)}-"
    check_done(destination, files)


def test_a_partial_download_of_another_url_is_not_continued(
    server: Server,
    files: Files,
    listing: Listing,
    destination: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fetch, "PAUSES", ())
    server.script = ["drop"]
    with pytest.raises(DownloadFailed):
        download_listed(destination, server.url, listing)

    download_listed(destination, f"{server.url}?another", listing)

    assert "range" not in server.asked[1]
    check_done(destination, files)


@pytest.mark.parametrize("word", ["ignore", "elsewhere", "416", "503", "serve"])
def test_any_answer_to_a_range_request_is_handled(
    server: Server, files: Files, listing: Listing, destination: Path, word: str
) -> None:
    server.script = ["drop", word]

    download_listed(destination, server.url, listing)

    assert server.asked[1]["range"] == f"bytes={half(server)}-"
    check_done(destination, files)


@pytest.mark.parametrize("etag", ['W/"weak"', None])
def test_without_a_strong_etag_no_if_range_is_sent(
    server: Server, files: Files, listing: Listing, destination: Path, etag: str | None
) -> None:
    server.etag = etag
    server.script = ["drop"]

    download_listed(destination, server.url, listing)

    assert ("range" in server.asked[1]) == bool(etag)
    assert "if-range" not in server.asked[1]
    check_done(destination, files)


@pytest.mark.parametrize("etags", [('"old"', '"new"'), ('W/"old"', 'W/"new"')])
def test_a_changed_archive_is_fetched_from_its_start(
    server: Server,
    files: Files,
    listing: Listing,
    destination: Path,
    pack_tar: Pack,
    monkeypatch: pytest.MonkeyPatch,
    etags: tuple[str, str],
) -> None:
    monkeypatch.setattr(fetch, "PAUSES", ())
    now = server.content
    server.script = ["drop"]
    server.etag, server.content = etags[0], pack_tar({"old": bytes(9000)})
    with pytest.raises(DownloadFailed):
        download_listed(destination, server.url, listing)
    monkeypatch.setattr(fetch, "PAUSES", (0,))
    server.etag, server.content = etags[1], now

    download_listed(destination, server.url, listing)

    check_done(destination, files)


@pytest.mark.parametrize("etag", ['"first"', None])
def test_an_interrupted_extraction_continues_without_the_server(
    server: Server,
    files: Files,
    listing: Listing,
    destination: Path,
    monkeypatch: pytest.MonkeyPatch,
    etag: str | None,
) -> None:
    server.etag = etag

    def interrupted(path: Path, content: bytes) -> None:
        if path.name == "test.txt":
            raise KeyboardInterrupt
        write_whole(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(module, "write_whole", interrupted)
        with pytest.raises(KeyboardInterrupt):
            download_listed(destination, server.url, listing)

    assert download_listed(destination, server.url, listing).written == len(files) - 3
    assert len(server.asked) == 1
    check_done(destination, files)
