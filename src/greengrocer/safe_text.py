"""Text that others wrote: what of it may be shown as it is, and how the rest is shown.

Unsafe is what a terminal obeys or what changes how its neighbours look: control characters (C0,
C1, DEL), line and paragraph separators, surrogates, and Unicode's format characters, of which are
the bidirectional overrides and isolates. Of those, scripts need the ones in ``SPELT``.
"""

import re
import unicodedata

# The zero-width joiner and non-joiner (Persian, Indic scripts, emoji), Mongolian's vowel separator,
# and the signs that stand around Arabic, Syriac and Kaithi numbers.
SPELT = frozenset(
    "\u200c\u200d\u180e\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2"
    "\U000110bd\U000110cd"
)
BLANK = frozenset("\u115f\u1160\u3164\uffa0\u2800\u034f")  # letters and signs that show nothing
UNSAFE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})  # Unicode's general categories
MOST_LINE = 2000  # characters of one line that a person is to read


def unsafe(character: str) -> bool:
    """Whether ``character`` may not be shown as it is."""
    return unicodedata.category(character) in UNSAFE and character not in SPELT


def escaped(text: str, keep: str = "") -> str:
    r"""``text`` with its unsafe characters, but for those in ``keep``, as ``\n`` or ``\u202e``."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escape(c) if unsafe(c) and c not in keep else c for c in text)


def one_line(text: str, most: int = MOST_LINE) -> str:
    """``text`` escaped and on one line; over ``most`` characters, it lacks its middle."""
    line = escaped(text if len(text) <= 2 * most else text[:most] + text[-most:])
    if len(line) <= most:
        return line
    return f"{line[: most * 2 // 3]} [...] {line[-most // 3 :]}"


def check_name(name: str, most: int = 200) -> str:
    """``name``, which is to be shown; raises ValueError, in one line, where it may not be."""
    if not name or len(name) > most:
        raise ValueError(
            f"{one_line(name, 80)!r} has {len(name)} characters: it must have 1 to {most}"
        )
    check_text(name, most, keep="")
    if all(c in BLANK or c in SPELT or c.isspace() for c in name):
        raise ValueError(f"{name!r} has no visible character")
    return name


def check_text(text: str, most: int, keep: str = "\n\t") -> str:
    """The same for text of up to ``most`` characters that may have several lines, or be empty."""
    if len(text) > most:
        raise ValueError(
            f"{one_line(text, 80)!r} has {len(text)} characters: at most {most} are allowed"
        )
    found = next((c for c in text if unsafe(c) and c not in keep), None)
    if found is not None:
        shown = one_line(text, 80)
        raise ValueError(f"'{shown}' has U+{ord(found):04X}, a character that may not be shown")
    return text


def _escape(character: str) -> str:
    escape = character.encode("unicode_escape").decode("ascii")
    number = re.fullmatch(r"\\x(..)", escape)
    return f"\\u00{number[1]}" if number else escape
