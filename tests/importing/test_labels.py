"""Names of classes, in the forms in which people keep them."""

import json
from pathlib import Path

import pytest

from greengrocer.errors import UsageError
from greengrocer.importing.labels import read_labels, taxonomy_of

NAMES = ("fig", "Blood orange", "leek")
IDS = {str(index): name for index, name in enumerate(NAMES)}


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("a.txt", "fig\nBlood orange\nleek\n"),
        ("a.txt", "fig\r\nBlood orange\r\nleek\r\n\r\n"),
        ("a.txt", "\ufefffig\nBlood orange\nleek"),
        ("a.txt", "0 fig\n1 Blood orange\n2 leek\n"),
        ("a.txt", "2: leek\n0: fig\n1: Blood orange\n"),
        ("a.csv", "0,fig\n1,Blood orange\n2,leek\n"),
        ("a.txt", "0\tfig\n1\tBlood orange\n2\tleek\n"),
        ("a.txt", "n01440764 fig\nn01443537 Blood orange\nn01484850 leek\n"),
        ("a.json", json.dumps(NAMES)),
        ("a.txt", json.dumps(NAMES)),
        ("a.json", json.dumps(IDS)),
        ("a.json", json.dumps({"id2label": IDS})),
        ("a.json", json.dumps({name: int(index) for index, name in IDS.items()})),
        ("a.json", json.dumps({index: ["n01440764", name] for index, name in IDS.items()})),
    ],
)
def test_each_form_gives_the_names_in_the_order_of_their_ids(
    tmp_path: Path, file: str, text: str
) -> None:
    (tmp_path / file).write_text(text, encoding="utf-8", newline="")
    assert read_labels(tmp_path / file) == NAMES


@pytest.mark.parametrize("text", ["1 euro\n2 euro\n5 euro\n", "1 fig\n2 leek\n", "7 up\ncola\n"])
def test_a_number_that_is_no_class_id_is_part_of_the_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "labels.txt").write_text(text)
    assert read_labels(tmp_path / "labels.txt") == tuple(text.splitlines())


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("a.json", b"[" * 100_000, "is neither a JSON list of names"),
        ("a.json", b'{"0": "fig", "9": "leek"}', "is neither a JSON list of names"),
        ("a.json", b'["fig", NaN]', "has a name that is no text"),
        ("a.json", b'"fig"', "has a name that is no text"),
        ("a.yaml", b"names: [fig]", "is YAML, which is not read"),
        ("a.txt", "fig".encode("utf-16"), "is not UTF-8"),
        ("a.txt", b"fig\n\nleek\n", "line 2 is empty"),
    ],
)
def test_other_forms_are_refused(tmp_path: Path, file: str, content: bytes, said: str) -> None:
    (tmp_path / file).write_bytes(content)
    with pytest.raises(UsageError, match=said):
        read_labels(tmp_path / file)


def test_a_label_too_few_may_be_the_background() -> None:
    with pytest.raises(UsageError, match="has 4 classes, but there are 3 labels: if its class 0"):
        taxonomy_of(Path("slim.onnx"), 4, NAMES, None)
