"""``GET /models``, and the routes of a model below ``/models/{name}``."""

from dataclasses import replace
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from greengrocer.serving.catalogue import ServedModel
from greengrocer.web.endpoint import Endpoint
from greengrocer.web.problems import described
from greengrocer.web.routes.batch import PREDICT_BATCH
from greengrocer.web.routes.class_names import CLASS_NAMES
from greengrocer.web.routes.predict import EXPLAIN, PREDICT
from greengrocer.web.schemas import ModelList
from greengrocer.web.service import Service

HOME = "/models"
BELOW = f"{HOME}/{{name}}"
IN_PATH: dict[str, Any] = {
    "name": "name",
    "in": "path",
    "required": True,
    "description": "a model's name, as /models lists it",
    "schema": {"type": "string"},
}


async def models(service: Service, request: Request) -> Response:
    """The models that serve: the default first, then the others as they were loaded."""
    del request
    catalogue = service.classifier.catalogue
    listed = sorted(catalogue.models, key=lambda model: model.key != catalogue.default)
    body = {"models": [_described(model, model.key == catalogue.default) for model in listed]}
    return Response(orjson.dumps(body), media_type="application/json")


def _described(model: ServedModel, default: bool) -> dict[str, object]:
    labels = model.labels
    return {
        "name": model.key,
        "version": labels.model.version,
        "default": default,
        "classes": len(labels.classes),
        "coarse_classes": None if labels.coarse is None else len(labels.coarse),
        "known": labels.known_threshold is not None,
        "evidence": labels.evidence,
        "figures": labels.figures,
    }


def _of_model(endpoint: Endpoint, summary: str) -> Endpoint:
    """``endpoint`` below the path of a model."""
    return replace(
        endpoint,
        path=f"{BELOW}{endpoint.path}",
        summary=summary,
        name=f"model_{endpoint.answer.__name__}",
        parameters=(IN_PATH, *endpoint.parameters),
        responses={**endpoint.responses, **described(404, 503)},
    )


MODELS: tuple[Endpoint, ...] = (
    Endpoint("GET", HOME, models, "List the models", name="list_models", model=ModelList),
    _of_model(PREDICT, "Classify an image with a model"),
    _of_model(EXPLAIN, "Show where in an image a model's evidence is"),
    _of_model(PREDICT_BATCH, "Classify many images with a model"),
    _of_model(CLASS_NAMES, "List a model's classes, in class-id order"),
)
