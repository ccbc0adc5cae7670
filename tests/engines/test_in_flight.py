from greengrocer.engines.in_flight import InFlightCount


def test_an_image_with_no_other_in_flight_is_alone() -> None:
    count = InFlightCount()
    for _ in range(2):
        with count.image() as image:
            assert image.alone


def test_an_image_that_meets_another_at_its_start_or_end_is_not_alone() -> None:
    count = InFlightCount()
    with count.image() as first:
        with count.image() as second:
            assert not first.alone
            assert not second.alone
        assert first.alone


def test_an_image_that_arrived_while_another_was_in_flight_is_not_alone_later() -> None:
    count = InFlightCount()
    first = count.image()
    with first:
        second = count.image()
        second.__enter__()
    assert count.images == 1
    assert not second.alone
