from greengrocer import errors
from greengrocer.answer_json import KINDS
from greengrocer.serving.frames.frames import Refused
from greengrocer.serving.frames.refusals import from_frame, to_frame


def test_every_refusal_is_the_same_on_the_other_side() -> None:
    for kind in KINDS:
        refusal = kind("full", 7) if issubclass(kind, errors.Overloaded) else kind("why")
        if issubclass(kind, errors.ImageRefused):
            refusal.seconds = 1.5
        again = from_frame(to_frame(3, refusal))
        assert type(again) is kind
        assert str(again) == str(refusal)
        assert vars(again) == vars(refusal)


def test_a_code_that_is_not_known_is_told_as_not_ready() -> None:
    refusal = from_frame(Refused(1, "of-another-version", "why", 0))
    assert type(refusal) is errors.NotReady
    assert str(refusal) == "why"


def test_retry_after_is_whole_seconds_as_http_wants_it() -> None:
    refusal = from_frame(Refused(1, "overloaded", "why", 2.5))
    assert isinstance(refusal, errors.Overloaded)
    assert str(refusal.retry_after) == "3"
