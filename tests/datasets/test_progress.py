"""Long work is told by a line now and then where standard error is no terminal."""

import pytest

from greengrocer.datasets import progress
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
