import pytest

from greengrocer.datasets.layouts.names import similar_names


def test_names_that_differ_only_by_case_blanks_hyphens_and_underscores() -> None:
    names = ("sweet corn", "sweet_corn", "Sweet-Corn", "sweetcorn ", "fig", "sweet potato")
    assert similar_names(names) == [names[:4]]


@pytest.mark.parametrize("names", [("-1", "1"), ("c", "c++"), ("a.b", "ab"), ("é", "e")])
def test_other_signs_count(names: tuple[str, str]) -> None:
    assert similar_names(names) == []
