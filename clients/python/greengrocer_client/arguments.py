"""Arguments of the caller, checked at once: what is out of range raises ValueError, in one line."""

import operator

import httpx

LONGEST = 86_400  # seconds, a day: the timers of the system do not take numbers of any size
LARGEST_PORT = 65_535


def check_timeout(timeout: float) -> None:
    """Seconds above 0, up to a day."""
    try:
        fits = 0 < timeout <= LONGEST  # NaN does not
    except TypeError:
        fits = False
    if not fits:
        raise ValueError(
            f"timeout is {timeout!r}: it must be a number of seconds, above 0 and at most {LONGEST}"
        )


def check_count(name: str, count: int) -> None:
    """A whole number, 1 or more; ``name`` is the argument's."""
    try:
        fits = operator.index(count) >= 1 and not isinstance(count, bool)
    except TypeError:
        fits = False
    if not fits:
        raise ValueError(f"{name} is {count!r}: it must be a whole number, 1 or more")


def base_url(url: str) -> str:
    """``url`` without outer blanks, and without a slash at its end: paths are put behind it.

    It may have a path, below which a proxy has the service. No error shows it: it may have a
    password.
    """
    text = str(url).strip()  # a file's ends with a line feed
    if not _is_address(text):
        raise ValueError("the URL must look like https://shop.example or http://127.0.0.1:8000")
    if "?" in text or "#" in text:
        raise ValueError("the URL must have no query (?) and no fragment (#): leave them out")
    return text.rstrip("/")


def _is_address(text: str) -> bool:
    """Whether ``text`` has a scheme of HTTP, a host, and a port that there can be, or none."""
    try:
        parts = httpx.URL(text)
    except httpx.InvalidURL:
        return False
    if parts.scheme not in ("http", "https") or not parts.raw_host or any(map(str.isspace, text)):
        return False
    return parts.port is None or 1 <= parts.port <= LARGEST_PORT
