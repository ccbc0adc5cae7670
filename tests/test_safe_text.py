import pytest

from greengrocer.safe_text import check_name, check_text, escaped, one_line, reason_of, words_of


def test_control_characters_are_escaped() -> None:
    assert escaped("a\x1b[2J\x9b\u202e\u2028\x7f\udc80\n") == (
        r"a\u001b[2J\u009b\u202e\u2028\u007f\udc80\n"
    )
    assert escaped("a\nb\x07", keep="\n") == "a\nb\\u0007"
    assert (
        escaped("Äpfel リンゴ \u0645\u06cc\u200c\u062e\u0648")
        == "Äpfel リンゴ \u0645\u06cc\u200c\u062e\u0648"
    )


@pytest.mark.parametrize("text", ["x" * 100_000, "\x9b" * 5000, "\n" * 3000])
def test_a_long_line_keeps_its_ends_and_is_bounded(text: str) -> None:
    line = one_line(f"begin {text} end", 400)
    assert line.startswith("begin ")
    assert line.endswith(" end")
    assert len(line) < 420
    assert line.isprintable()


def test_a_name_is_visible_short_and_on_one_line() -> None:
    assert check_name("kiwi") == "kiwi"
    assert check_text("two\nlines", 100) == "two\nlines"
    for name in ("", " ", "\u3164", "\u200d", "x" * 201, "two\nlines"):
        with pytest.raises(ValueError, match=r"characters|visible|has U") as refused:
            check_name(name)
        assert str(refused.value).isprintable()


def test_an_error_that_says_nothing_is_told_by_its_type() -> None:
    assert words_of(MemoryError()) == reason_of(MemoryError()) == "MemoryError"
    assert words_of(OSError("no room")) == reason_of(OSError("no room")) == "no room"
