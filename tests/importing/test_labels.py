"""Names of classes, in the forms in which people keep them."""

import json
from pathlib import Path

import pytest

from greengrocer.errors import UsageError
from greengrocer.importing.labels import Names, read_labels, taxonomy_of

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


@pytest.mark.parametrize("character", ["\x0b", "\x0c", "\x85", "\u2028"])
def test_a_separator_that_ends_no_line_is_part_of_the_name(tmp_path: Path, character: str) -> None:
    (tmp_path / "a.txt").write_text(f"fig\nBlood{character}orange\nleek\n", encoding="utf-8")
    names = read_labels(tmp_path / "a.txt")
    assert names == ("fig", f"Blood{character}orange", "leek")
    with pytest.raises(UsageError, match=rf"has U\+{ord(character):04X}, a character that may not"):
        taxonomy_of(Path("model.onnx"), 3, Names(names, "a.txt"), None)


def test_groups_are_read_as_those_of_photos_are(tmp_path: Path) -> None:
    table = tmp_path / "groups.csv"
    table.write_text('Class;Superclass\n"leek; long";root\nfig;fruit\nrice;staple\n')
    found = taxonomy_of(Path("model.onnx"), 2, Names(("leek; long", "fig"), "a.txt"), table)
    assert (found.classes, found.coarse) == (("leek; long", "fig"), ("fruit", "root"))
    assert found.coarse_of == (1, 0)
    table.write_text("class,coarse\nfig,fruit\n")
    with pytest.raises(UsageError, match="gives no coarse class for 'kale'"):
        taxonomy_of(Path("model.onnx"), 2, Names(("kale", "fig"), "a.txt"), table)


def test_names_are_in_one_unicode_form(tmp_path: Path) -> None:
    """So that they are the names of folders, whichever system wrote those."""
    decomposed = "cafe\u0301"
    (tmp_path / "labels.json").write_text(json.dumps([decomposed, "leek"]))
    (tmp_path / "coarse.csv").write_text(
        f"class,coarse\n{decomposed},{decomposed}s\nleek,vegetables\n"
    )
    names = read_labels(tmp_path / "labels.json")
    found = taxonomy_of(Path("model.onnx"), 2, Names(names, "a.txt"), tmp_path / "coarse.csv")
    assert found.classes == ("caf\u00e9", "leek")
    assert found.coarse == ("caf\u00e9s", "vegetables")
    twice = taxonomy_of(Path("model.onnx"), 2, Names((decomposed, "caf\u00e9"), "a.txt"), None)
    assert twice.classes == ("caf\u00e9 (0)", "caf\u00e9 (1)")


def test_a_label_too_few_may_be_the_background() -> None:
    with pytest.raises(UsageError, match=r"has 4 classes, but a\.txt has 3 labels: .* if class 0"):
        taxonomy_of(Path("slim.onnx"), 4, Names(NAMES, "a.txt"), None)
