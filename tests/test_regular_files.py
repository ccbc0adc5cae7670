import os
from pathlib import Path

import pytest

from greengrocer.regular_files import NotRegularFile, open_regular, read_regular, write_whole


def test_a_plain_file_is_read_up_to_its_limit(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"12345")
    (tmp_path / "link").symlink_to(file)
    assert read_regular(file, 5) == read_regular(tmp_path / "link", 5) == b"12345"
    with pytest.raises(NotRegularFile, match="over 4 bytes"):
        read_regular(file, 4)


def test_special_files_are_refused_without_opening_or_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    before = len(list(Path("/dev/fd").iterdir()))
    for path in (tmp_path, tmp_path / "pipe", Path("/dev/zero"), tmp_path / ("x" * 300)):
        with pytest.raises(OSError, match=r"regular|directory|long"):
            open_regular(path)
    with pytest.raises(OSError, match="NUL"):
        open_regular(Path("a\0b"))
    assert len(list(Path("/dev/fd").iterdir())) == before


def test_a_link_or_a_pipe_is_replaced_and_not_written_to(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "link").symlink_to("precious")
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe"):
        write_whole(tmp_path / name, "page")
        assert (tmp_path / name).read_text() == "page"
    assert (tmp_path / "precious").read_text() == "mine"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["link", "pipe", "precious"]
