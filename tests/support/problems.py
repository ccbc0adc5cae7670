"""Check the shape that every refusal has."""

import json
from collections.abc import Mapping

from conformance.answers import LEAKS

from greengrocer.web.schemas import Problem


def problem_of(status: int, headers: Mapping[str, str], body: bytes) -> Problem:
    """The problem document of an answer, checked."""
    assert headers["content-type"] == "application/problem+json", (status, body[:200])
    assert int(headers["content-length"]) == len(body)
    fields = json.loads(body)
    assert set(fields) <= set(Problem.model_fields)
    problem = Problem.model_validate(fields)
    assert problem.status == status
    assert problem.request_id == headers["x-request-id"]
    assert problem.type == f"urn:greengrocer:problem:{problem.code}"
    assert problem.code == problem.code.lower()
    assert problem.title
    assert problem.detail
    text = body.decode()
    assert not [leak for leak in LEAKS if leak in text], text
    return problem
