import json
from pathlib import Path

import pytest

from greengrocer.datasets.layouts.read import read_collection
from greengrocer.errors import DatasetUnusable
from support.layouts import draw


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return draw(tmp_path, "img/1.jpg", "img/2.jpg")


@pytest.mark.parametrize("character", ["\x0b", "\x0c", "\x85", "\u2028"])
def test_a_label_with_a_separator_that_ends_no_line_is_refused_for_that(
    data: Path, character: str
) -> None:
    label = f"a{character}b"
    rows = [{"path": "img/1.jpg", "label": label}, {"path": "img/2.jpg", "label": "b"}]
    lists = {
        "l.csv": f"path,label\nimg/1.jpg,{label}\nimg/2.jpg,b\n",
        "l.jsonl": "".join(f"{json.dumps(row)}\n" for row in rows),
    }
    said = f"has U\\+{ord(character):04X}, a character that may not be shown"
    for name, text in lists.items():
        (data / name).write_text(text)
        with pytest.raises(DatasetUnusable, match=said):
            read_collection(data / name)


@pytest.mark.parametrize("line_break", ["\n", "\r\n", "\r"])
def test_a_label_on_several_lines_is_refused_with_its_line(data: Path, line_break: str) -> None:
    text = f'path,label\nimg/1.jpg,a\nimg/2.jpg,"a{line_break}b"\n'
    (data / "l.csv").write_text(text, newline="")
    said = r"l\.csv, line 3: the value of 'label' goes over several lines"
    with pytest.raises(DatasetUnusable, match=said):
        read_collection(data / "l.csv")
