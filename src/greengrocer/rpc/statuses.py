"""The gRPC status of each problem."""

from collections.abc import Mapping

from grpc import StatusCode

from greengrocer import errors

OF_STATUS: Mapping[int, StatusCode] = {
    400: StatusCode.INVALID_ARGUMENT,
    401: StatusCode.UNAUTHENTICATED,
    404: StatusCode.NOT_FOUND,
    408: StatusCode.DEADLINE_EXCEEDED,
    413: StatusCode.INVALID_ARGUMENT,
    415: StatusCode.INVALID_ARGUMENT,
    422: StatusCode.INVALID_ARGUMENT,
    429: StatusCode.UNAVAILABLE,  # which clients and balancers retry, unlike RESOURCE_EXHAUSTED
    499: StatusCode.CANCELLED,
    500: StatusCode.INTERNAL,
    501: StatusCode.UNIMPLEMENTED,
    503: StatusCode.UNAVAILABLE,
    504: StatusCode.DEADLINE_EXCEEDED,
}
OF_CODE: Mapping[str, StatusCode] = {
    errors.RateLimited.code: StatusCode.RESOURCE_EXHAUSTED,  # another replica would refuse it, too
}


def status_of(http_status: int, code: str | None) -> StatusCode:
    """The status of a problem that HTTP would answer with ``http_status`` and ``code``."""
    return OF_CODE.get(code or "") or OF_STATUS.get(http_status, StatusCode.UNKNOWN)
