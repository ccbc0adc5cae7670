"""Which model a request is for: the one that its path names, or the default."""

import secrets
from typing import NamedTuple

from starlette.requests import Request

from greengrocer.ranking import ModelLabels
from greengrocer.serving.splits import choose
from greengrocer.web.request_state import state_of
from greengrocer.web.service import Service

SPLIT_KEY = "X-Split-Key"


class AskedModel(NamedTuple):
    """The model of a request, or its version where requests are split.

    ``key`` names it in metrics and in admission.
    ``order`` is what the classifier is asked for: None where the path names none, so that the
    model is the one that is the default when the image's turn comes.
    """

    key: str
    labels: ModelLabels
    order: str | None


def asked_model(service: Service, request: Request) -> AskedModel:
    """The model that ``request`` is for; raises UnknownModel, or ModelFailed where it failed."""
    catalogue, asked = service.classifier.catalogue, request.path_params
    name, version = asked.get("name"), asked.get("version")
    model = catalogue.first if name is None else catalogue.find(name, version)
    parts = catalogue.splits.get(model.key) if version is None else None
    if parts is not None:
        model = catalogue.find(choose(parts, _sticky(request)))
    state_of(request.scope).model = model.labels.model
    by_key = name is not None or parts is not None
    return AskedModel(*model, model.key if by_key else None)


def _sticky(request: Request) -> str:
    """What decides which version of a split answers: the same text always gets the same.

    Without a key it is chance, and not the request id: a proxy may send one id for all requests.
    """
    key = request.headers.get(SPLIT_KEY) or state_of(request.scope).key_name
    return key or secrets.token_hex(8)
