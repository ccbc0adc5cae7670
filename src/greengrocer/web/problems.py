"""Errors as HTTP responses: problem documents (RFC 9457)."""

import uuid
from http import HTTPStatus
from typing import Any

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from greengrocer import errors
from greengrocer.answer_json import KINDS, problem_document
from greengrocer.ranking import ModelId
from greengrocer.tracebacks import release_frames
from greengrocer.web.request_state import seen_path, state_of

MEDIA_TYPE = "application/problem+json"
OPEN_INFERENCE = "/v2/"  # below it, errors have the form of the Open Inference Protocol
CHALLENGE = 'Bearer realm="greengrocer"'  # RFC 6750


INTERNAL_ERROR = "internal-error"
INTERNAL = (
    INTERNAL_ERROR,
    "The service failed",
    "unexpected error in the service: look for the request id in its log",
)
# The names of RFC 9110 for those that Python calls otherwise before 3.13.
_RENAMED = {413: "Content Too Large", 414: "URI Too Long", 422: "Unprocessable Content"}
_RETRY_AFTER = {
    "headers": {
        "Retry-After": {"schema": {"type": "integer"}, "description": "seconds to wait"},
    }
}


def refusal_response(request: Request, refusal: errors.Refusal) -> Response:
    """The response for ``refusal``, whose traceback is released."""
    release_frames(refusal)
    kind = KINDS[type(refusal)]
    headers = {}
    if isinstance(refusal, errors.Overloaded):
        headers["Retry-After"] = str(refusal.retry_after)
    elif isinstance(refusal, errors.Unauthorized):
        headers["WWW-Authenticate"] = CHALLENGE
    model = state_of(request.scope).model if refusal.of_model else None
    problem = kind.status, refusal.code, kind.title, str(refusal)
    return problem_response(request, *problem, headers, model)


def http_exception_response(request: Request, error: HTTPException) -> Response:
    """The response for an error of the framework: no such path, wrong method."""
    phrase = _phrase(error.status_code)
    code = phrase.lower().replace(" ", "-")
    headers = dict(error.headers or {})
    detail = error.detail
    if error.status_code == HTTPStatus.NOT_FOUND and detail == phrase:
        detail = "there is no such path: /openapi.json lists all paths"
    elif error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = headers.get("Allow", "another method")
        detail = f"this path does not accept the method {request.method}: send {allowed}"
    return problem_response(request, error.status_code, code, phrase, detail, headers)


def internal_error(request_id: str, path: str, model: ModelId) -> dict[str, object]:
    """The problem document of an unexpected error; it says nothing of the exception."""
    return problem_document(500, *INTERNAL, request_id, path, model)


def internal_error_response(request: Request) -> Response:
    """The response for an unexpected error."""
    return problem_response(request, 500, *INTERNAL, {}, state_of(request.scope).model)


def problem_response(
    request: Request,
    status: int,
    code: str,
    title: str,
    detail: str,
    headers: dict[str, str],
    model: ModelId | None = None,
) -> Response:
    """A response with a problem document; notes the code for the metrics and the log."""
    state = state_of(request.scope)
    state.refused = code
    if f"{request.scope['path']}/".startswith(OPEN_INFERENCE):
        return Response(orjson.dumps({"error": detail}), status, headers, "application/json")
    path = seen_path(request.scope)  # not request.url: that believes the Host header
    body = problem_document(status, code, title, detail, state.request_id, path, model)
    return Response(orjson.dumps(body), status, headers, media_type=MEDIA_TYPE)


def wire_problem(status: int, code: str, detail: str) -> tuple[str, bytes]:
    """A new request id, and the problem document for bytes that are not a valid request."""
    request_id = uuid.uuid4().hex
    document = problem_document(status, code, _phrase(status), detail, request_id)
    return request_id, orjson.dumps(document)


def described(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI's ``responses`` for these statuses, each a problem document."""
    return {
        status: {
            "description": "; ".join(_titles(status)) or _phrase(status),
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
            **(_RETRY_AFTER if status == 429 else {}),
        }
        for status in statuses
    }


def _titles(status: int) -> list[str]:
    return [kind.title for kind in KINDS.values() if kind.status == status]


def _phrase(status: int) -> str:
    return _RENAMED.get(status) or HTTPStatus(status).phrase
