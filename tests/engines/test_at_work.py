from greengrocer.engines.at_work import AtWork


def test_an_image_without_company_is_alone() -> None:
    at_work = AtWork()
    for _ in range(2):
        with at_work.picture() as work:
            assert work.alone


def test_company_at_either_end_is_company() -> None:
    at_work = AtWork()
    with at_work.picture() as first:
        with at_work.picture() as second:
            assert not first.alone
            assert not second.alone
        assert first.alone


def test_who_came_into_company_is_not_alone_when_it_goes() -> None:
    at_work = AtWork()
    first = at_work.picture()
    with first:
        second = at_work.picture()
        second.__enter__()
    assert at_work.pictures == 1
    assert not second.alone
