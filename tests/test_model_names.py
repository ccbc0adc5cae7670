import pytest

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
        ("Shop=b", ModelSource(None, "Shop=b")),
        ("shop@=b", ModelSource(None, "shop@=b")),
        ("shop=", ModelSource("shop", "")),
    ],
)
def test_a_source_has_a_name_only_where_it_looks_like_one(text: str, source: ModelSource) -> None:
    assert parse_source(text) == source


@pytest.mark.parametrize(("name", "label"), [("shop", ""), ("shop", "next")])
def test_a_key_has_a_name_and_a_label(name: str, label: str) -> None:
    key = key_of(name, label)
    assert (name_of(key), label_of(key)) == (name, label)
