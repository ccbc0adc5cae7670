"""The JSON of an answer and of a refusal, as the service and the command line write it."""

from typing import NamedTuple

from greengrocer import errors
from greengrocer.ranking import Answer, ModelId
from greengrocer.tracebacks import release_frames

CLIENT_CLOSED_REQUEST = 499  # nginx's code; only logs and metrics show it


class Kind(NamedTuple):
    """The HTTP status of a refusal, and the title that all of its kind share."""

    status: int
    title: str


KINDS: dict[type[errors.Refusal], Kind] = {
    errors.EmptyImage: Kind(400, "The image is empty"),
    errors.UnreadableImage: Kind(400, "The image cannot be read"),
    errors.ImageTooSlow: Kind(400, "The image takes too long to decode"),
    errors.TooManyPixels: Kind(413, "The image has too many pixels"),
    errors.UnsupportedFormat: Kind(415, "The image's format is not accepted"),
    errors.MalformedUpload: Kind(400, "The upload is malformed"),
    errors.TooManyBytes: Kind(413, "The upload has too many bytes"),
    errors.UnsupportedContentType: Kind(415, "The content type is not accepted"),
    errors.MissingField: Kind(422, "The form's field is missing"),
    errors.RepeatedField: Kind(422, "The form's field is repeated"),
    errors.ParameterOutOfRange: Kind(422, "A parameter is unknown or out of range"),
    errors.SlowUpload: Kind(408, "The upload came too slowly"),
    errors.UnknownModel: Kind(404, "There is no such model"),
    errors.NoEvidence: Kind(501, "The model gives no evidence"),
    errors.InvalidAnswer: Kind(500, "The model gave no valid answer"),
    errors.Unauthorized: Kind(401, "An API key is needed"),
    errors.Overloaded: Kind(429, "The service is overloaded"),
    errors.RateLimited: Kind(429, "Too many requests from one client"),
    errors.NotReady: Kind(503, "The service is not ready"),
    errors.ModelFailed: Kind(503, "The model could not be loaded"),
    errors.DeadlineExceeded: Kind(504, "The deadline has passed"),
    errors.ClientDisconnected: Kind(CLIENT_CLOSED_REQUEST, "The client disconnected"),
}


def answer_json(answer: Answer, request_id: str | None = None) -> dict[str, object]:
    """The JSON object of ``answer``, built by hand: this is on the path of every request.

    ``web.schemas.Prediction`` describes it. Confidences are from 0 to 1; ``evidence`` has its shape
    (rows, columns) and its values row by row.
    """
    best = answer.top[0]
    body: dict[str, object] = {
        "prediction": best.name,
        "confidence": best.confidence,
        "coarse": answer.coarse
        and {"prediction": answer.coarse.name, "confidence": answer.coarse.confidence},
        "answer": {"level": answer.named.level, "name": answer.named.name},
        "known": answer.known,
        "known_score": answer.known_score,
        "top": [{"class": name, "confidence": confidence} for name, confidence in answer.top],
        "model": {"name": answer.model.name, "version": answer.model.version},
    }
    if request_id is not None:
        body["request_id"] = request_id
    if answer.evidence is not None:
        shape, values = answer.evidence.shape, answer.evidence.ravel().tolist()
        evidence = {"class": best.name, "shape": shape, "values": values}
        if answer.evidence_box is not None:
            evidence["box"] = answer.evidence_box
        body["evidence"] = evidence
    return body


def problem_json(
    refusal: errors.Refusal,
    request_id: str | None = None,
    path: str | None = None,
    model: ModelId | None = None,
) -> dict[str, object]:
    """The problem document of ``refusal``, whose traceback is released.

    It has ``model`` where the refusal is of the model, and not of the image.
    """
    release_frames(refusal)
    status, title = KINDS[type(refusal)]
    model = model if refusal.of_model else None
    return problem_document(status, refusal.code, title, str(refusal), request_id, path, model)


def problem_document(
    status: int,
    code: str,
    title: str,
    detail: str,
    request_id: str | None = None,
    path: str | None = None,
    model: ModelId | None = None,
) -> dict[str, object]:
    """A problem document (RFC 9457) with ``code``, ``request_id`` and ``model`` as its own members.

    ``model`` is the one that, or whose queue, gave no answer.
    """
    return {
        "type": f"urn:greengrocer:problem:{code}",
        "title": title,
        "status": status,
        "detail": detail,
        **({} if path is None else {"instance": path}),
        "code": code,
        **({} if request_id is None else {"request_id": request_id}),
        **({} if model is None else {"model": model._asdict()}),
    }
