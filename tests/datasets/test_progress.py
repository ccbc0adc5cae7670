"""Long work is told by a line now and then where standard error is no terminal."""

from pathlib import Path

import pytest

from greengrocer.datachecks.files import open_all
from greengrocer.datasets import progress
from greengrocer.datasets.layouts.rows import read_rows
from greengrocer.datasets.progress import Progress


def test_a_log_gets_lines_and_no_bar(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert list(Progress("abc", "epoch 1/2", 3, unit="batch")) == ["a", "b", "c"]
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.0)
    work = Progress(iter("ab"), "epoch 1/2", 1_000, unit="batch")
    for _ in work:
        work.show(loss="0.5")
    assert capsys.readouterr() == ("", "epoch 1/2: batch 1 of 1,000\nepoch 1/2: batch 2 of 1,000\n")


def test_of_work_that_is_mostly_short_the_first_line_comes_soon(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    table = tmp_path / "l.csv"
    table.write_text("path,label\n1.jpg,a\n2.jpg,b\n")
    assert len(list(read_rows(table))) == 2
    open_all([table, table], threads=1)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(progress, "SOON_SECONDS", 0.0)
    assert len(list(read_rows(table))) == 2
    open_all([table, table], threads=1)
    assert capsys.readouterr().err == "reading l.csv: row 1\nopening: image 1 of 2\n"
