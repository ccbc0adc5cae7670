"""Checks that every answer of the service must pass."""

import json

from conformance.wire import Answer

PROBLEM = {"type", "title", "status", "detail", "code", "request_id"}
LEAKS = (
    *("Traceback", "site-packages", ".py", "Error(", "Exception", "/tmp", "/home", "/usr", "0x"),
    # values as Python shows them, and what its libraries say
    *("greengrocer/", "b'", "\\x", "codec can't", "Input should", "expected value", "at line 1"),
)


def problem(answer: Answer) -> str:
    """The code of the problem document that ``answer`` must be."""
    assert answer.headers["content-type"] == "application/problem+json", answer
    assert int(answer.headers["content-length"]) == len(answer.body)
    fields = json.loads(answer.body)
    assert set(fields) - {"instance", "model"} == PROBLEM, fields
    assert fields["status"] == answer.status
    assert fields["request_id"] == answer.headers["x-request-id"]
    assert fields["type"].endswith(f":{fields['code']}")
    assert fields["title"]
    assert fields["detail"]
    assert len(fields["detail"].splitlines()) == 1
    text = answer.body.decode()
    assert not [leak for leak in LEAKS if leak in text], text
    return str(fields["code"])


def refused(answer: Answer) -> str:
    """The code of the refusal that ``answer`` must be: the fault was the client's."""
    assert 400 <= answer.status < 500, answer
    return problem(answer)


def prediction(answer: Answer) -> str:
    """The class that ``answer`` must name."""
    assert answer.status == 200, answer
    assert answer.headers["content-type"] == "application/json"
    return str(json.loads(answer.body)["prediction"])


def outcome(answer: Answer) -> str:
    """``ok`` for a prediction, the problem's code for a refusal; nothing else may come."""
    if answer.status == 200:
        assert prediction(answer)
        return "ok"
    return refused(answer)
