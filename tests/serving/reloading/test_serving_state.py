import pytest

from greengrocer.errors import ReloadRefused
from greengrocer.serving.reloading.origin import Origin
from greengrocer.serving.reloading.serving_state import ServingState


def test_a_version_whose_model_is_missing_is_not_promoted() -> None:
    state = ServingState.of("shop@next", Origin.of("shop@next", "fast"))
    with pytest.raises(ReloadRefused, match="there is no model shop"):
        state.promoted("shop@next")
