"""How an error quotes what a client sent."""

import json

MOST = 40  # characters


def quoted(text: str) -> str:
    """The beginning of ``text`` as JSON has it: in ASCII, on one line, without control codes."""
    return json.dumps(text[:MOST])
