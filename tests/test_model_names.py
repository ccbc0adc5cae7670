from pathlib import Path

import pytest

from greengrocer.errors import UsageError
from greengrocer.model_names import ModelSource, key_of, label_of, name_of, parse_source


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("grocery", ModelSource(None, "grocery")),
        ("shop=runs/shop", ModelSource("shop", "runs/shop")),
        ("shop@next=runs/new", ModelSource("shop@next", "runs/new")),
        ("shop=runs/a=b", ModelSource("shop", "runs/a=b")),
        ("runs/a=b", ModelSource(None, "runs/a=b")),
        ("./a=b", ModelSource(None, "./a=b")),
        ("s3://models/a=b", ModelSource(None, "s3://models/a=b")),
        ("shop=", ModelSource("shop", "")),
    ],
)
def test_a_source_has_a_name_only_where_it_looks_like_one(text: str, source: ModelSource) -> None:
    assert parse_source(text) == source


@pytest.mark.parametrize("name", ["Shop", "my_shop", "shop@", "Großes Obst", "", "a" * 101])
def test_a_name_that_is_none_is_at_fault_and_not_the_path(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = f"{name}=fast"
    with pytest.raises(UsageError, match="is not a model's name: a name has small letters"):
        parse_source(text)
    (tmp_path / text).mkdir()
    assert parse_source(text) == ModelSource(None, text)


@pytest.mark.parametrize(("name", "label"), [("shop", ""), ("shop", "next")])
def test_a_key_has_a_name_and_a_label(name: str, label: str) -> None:
    key = key_of(name, label)
    assert (name_of(key), label_of(key)) == (name, label)
