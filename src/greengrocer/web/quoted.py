"""How an error quotes what a client sent."""

import json

MOST = 40  # characters
MOST_NUMBER = 10**15


def quoted(value: str | int) -> str:
    """The beginning of a text as JSON has it: in ASCII, on one line, without control codes.

    A long number is written in a few digits.
    """
    if isinstance(value, int):
        return str(value) if value < MOST_NUMBER else "over 10**15"
    return json.dumps(value[:MOST])
