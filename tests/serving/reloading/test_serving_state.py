import pytest

from greengrocer.errors import ReloadRefused
from greengrocer.serving.reloading.origin import Origin
from greengrocer.serving.reloading.serving_state import ServingState


def test_a_version_whose_model_is_missing_is_not_promoted() -> None:
    state = ServingState.of("shop@next", Origin.of("shop@next", "fast"))
    with pytest.raises(ReloadRefused, match="there is no model shop"):
        state.promoted("shop@next")


def test_a_second_version_that_is_to_get_copies_is_told_which_one_does() -> None:
    state = ServingState.of("shop", Origin(None, "first"))
    for key in ("shop@one", "shop@two"):
        state = state.added(key, Origin.of(key, "second"))
    state = state.shadow("shop@one", 20)
    remedy = "shop@one gets copies already: end that with `models shadow shop@one 0%`"
    with pytest.raises(ReloadRefused, match=remedy):
        state.shadow("shop@two", 20)
