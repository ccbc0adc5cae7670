import re
from collections.abc import Iterator

from greengrocer import errors
from greengrocer.answer_json import KINDS
from greengrocer.errors import GreengrocerError, ImageRefused, Refusal, UploadRefused

Tree = set[tuple[str, str]]  # child and parent


def drawn() -> Tree:
    """The tree in the module's docstring."""
    found: Tree = set()
    above = ["GreengrocerError"]
    for line in (errors.__doc__ or "").splitlines():
        if match := re.match(r"((?:│   |    )*)[├└]── (\w+)", line):
            depth = len(match[1]) // 4 + 1
            above[depth:] = [match[2]]
            found.add((match[2], above[depth - 1]))
    return found


def below(root: type[GreengrocerError]) -> Iterator[type[GreengrocerError]]:
    """Every error of the module under ``root``."""
    for child in root.__subclasses__():
        if child.__module__ == errors.__name__:
            yield child
            yield from below(child)


def refusals() -> set[type[Refusal]]:
    """The refusals that are raised: all but the two that only group others."""
    found = {child for child in below(Refusal) if issubclass(child, Refusal)}
    return found - {ImageRefused, UploadRefused}


def test_the_drawn_tree_is_the_real_one() -> None:
    real = {(child.__name__, child.__bases__[0].__name__) for child in below(GreengrocerError)}
    assert len(real) > 20
    assert drawn() == real


def test_every_error_is_in_the_class_tree() -> None:
    defined = {
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, BaseException)
    }
    assert defined == {GreengrocerError, *below(GreengrocerError)}


def test_every_refusal_has_a_unique_code() -> None:
    codes = [vars(refusal).get("code") for refusal in refusals()]
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", code or "") for code in codes)
    assert len(set(codes)) == len(codes)
    assert Refusal.code not in codes


def test_every_refusal_has_an_http_status() -> None:
    assert set(KINDS) == refusals()
