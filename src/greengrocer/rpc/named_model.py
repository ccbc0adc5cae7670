"""Which model a message is for: it names one, as a path does over HTTP."""

from starlette.requests import Request

from greengrocer.web.asked_model import AskedModel, asked_model
from greengrocer.web.service import Service


def named_model(service: Service, request: Request, name: str, version: str) -> AskedModel:
    """The model of this name and, where given, version; raises UnknownModel or ModelFailed."""
    request.scope["path_params"] = {"name": name, "version": version or None}
    return asked_model(service, request)
