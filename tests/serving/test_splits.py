from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greengrocer.errors import ReloadRefused
from greengrocer.serving.splits import checked_parts, choose

LOADED = ("shop", "shop@next", "shop@last", "other")
USERS = [f"user-{number}" for number in range(10_000)]
OLD = "shop"
NEXT = "shop@next"


@given(st.text(), st.integers(0, 100))
def test_the_same_text_always_gets_the_same_version(sticky: str, part: int) -> None:
    parts = ((OLD, 100 - part), (NEXT, part))
    assert choose(parts, sticky) == choose(parts, sticky)


@pytest.mark.parametrize("part", [0, 1, 5, 50, 99, 100])
def test_each_version_gets_its_part(part: int) -> None:
    counts = Counter(choose(((OLD, 100 - part), (NEXT, part)), user) for user in USERS)
    assert counts[NEXT] == pytest.approx(100 * part, abs=200)  # of 10,000, four deviations
    assert counts[NEXT] + counts[OLD] == len(USERS)


def test_a_part_that_grows_keeps_those_who_had_it() -> None:
    had: set[str] = set()
    for part in range(101):
        parts = checked_parts({NEXT: part, OLD: 100 - part}, LOADED)
        has = {user for user in USERS if choose(parts, user) == NEXT}
        assert had <= has
        had = has
    assert len(had) == len(USERS)


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"shop": 95, "shop@next": 4}, "99 in all"),
        ({"shop": 95, "shop@new": 5}, "there is no model shop@new"),
        ({"shop": 95, "other": 5}, "not of other and shop"),
        ({"shop@next": 50, "shop@last": 50}, "must name shop itself"),
        ({}, "not none at all$"),
    ],
)
def test_parts_that_make_no_sense_are_refused(parts: dict[str, int], said: str) -> None:
    with pytest.raises(ReloadRefused, match=said):
        checked_parts(parts, LOADED)
