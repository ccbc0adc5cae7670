import math

from greengrocer.evaluation.run import Stopwatch


def test_the_medians_are_in_milliseconds() -> None:
    stopwatch = Stopwatch()
    assert math.isnan(stopwatch.decode_milliseconds)
    for seconds in (0.002, 0.5, 0.004):
        stopwatch.decoded(seconds)
        stopwatch.inferred(2 * seconds)
    assert (stopwatch.decode_milliseconds, stopwatch.infer_milliseconds) == (4, 8)
