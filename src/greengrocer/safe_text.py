"""Make foreign text safe to show: in a terminal, a log line or a message.

Unsafe characters are those that control a terminal or change how their neighbours look: control
characters (C0, C1, DEL), line and paragraph separators, surrogates, and Unicode's format
characters, such as the bidirectional overrides. Format characters that scripts need are in
``NEEDED``.
"""

import re
import unicodedata

# The zero-width joiner and non-joiner (Persian, Indic scripts, emoji), Mongolian's vowel separator,
# and the signs that stand around Arabic, Syriac and Kaithi numbers.
NEEDED = frozenset(
    "\u200c\u200d\u180e\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2"
    "\U000110bd\U000110cd"
)
BLANK = frozenset("\u115f\u1160\u3164\uffa0\u2800\u034f")  # letters and signs that are not visible
UNSAFE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})  # Unicode's general categories
# The user and password of an address: up to its last @ where a colon stands before it that no port
# follows, and else up to the first /. The @ of a digest is none of theirs.
_USER = re.compile(r"(:/+)([^/?#]*:(?!\d*([/?#]|$)).*|[^/?#]*)@(?!sha256:)", re.DOTALL)
_QUERY = re.compile(r"(:/.*?)[?#].*?(?=@sha256:|\Z)", re.DOTALL)
MAX_LINE = 2000  # characters of a line of a log or a message
MAX_NAME = 80  # characters of an unknown name in a message
MAX_REASON = 300  # characters of what a library says in a message


def unsafe(character: str) -> bool:
    """Whether ``character`` must be escaped."""
    return unicodedata.category(character) in UNSAFE and character not in NEEDED


def escaped(text: str, keep: str = "") -> str:
    r"""``text`` with its unsafe characters escaped as ``\u202e``, except those in ``keep``."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escape(c) if unsafe(c) and c not in keep else c for c in text)


def one_line(text: str, limit: int = MAX_LINE) -> str:
    """``text`` escaped, on one line; over ``limit`` characters its middle is left out."""
    line = escaped(text if len(text) <= 2 * limit else text[:limit] + text[-limit:])
    if len(line) <= limit:
        return line
    return f"{line[: limit * 2 // 3]} [...] {line[-limit // 3 :]}"


def without_secrets(text: str) -> str:
    """``text`` without what may be secret in an address: a user, a password, a query, a fragment.

    The address may be mistyped, so rather too much goes than too little.
    """
    return _QUERY.sub(r"\1", _USER.sub(r"\1", text))


def words_of(error: BaseException) -> str:
    """What an error says; its type's name where it says nothing, as a plain MemoryError does."""
    return str(error) or type(error).__name__


def kind_and_words_of(error: BaseException, limit: int = MAX_REASON) -> str:
    """An error's type and what it says, on one line of ``limit`` characters at most."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:limit]


def reason_of(error: Exception) -> str:
    """What a library says of an error: its first paragraph, in one line of ``MAX_REASON`` at most.

    The users, passwords and queries of addresses in it are left out: they may be secret.
    """
    text = words_of(error).partition("\n\n")[0]
    text = re.sub(r"//[^\s/]*@", "//", text)
    return one_line(re.sub(r"\?\S+", "?...", text), MAX_REASON)


def check_name(name: str, limit: int = 200) -> str:
    """``name``, checked: raises ValueError if it is too long, unsafe or invisible."""
    if not name or len(name) > limit:
        raise ValueError(
            f"{one_line(name, 80)!r} has {len(name)} characters: it must have 1 to {limit}"
        )
    check_text(name, limit, keep="")
    if all(c in BLANK or c in NEEDED or c.isspace() for c in name):
        raise ValueError(f"{name!r} has no visible character")
    return name


def check_text(text: str, limit: int, keep: str = "\n\t") -> str:
    """The same for text of up to ``limit`` characters that may be empty or have several lines."""
    if len(text) > limit:
        raise ValueError(
            f"{one_line(text, 80)!r} has {len(text)} characters: at most {limit} are allowed"
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
