"""``/openapi.json`` and ``/docs``, which shows it: with scripts from this host and no other."""

from base64 import b64encode
from hashlib import sha256
from pathlib import Path

import fastapi_offline
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles

from greengrocer.web.endpoint import Endpoint
from greengrocer.web.service import Service

ASSETS = "/docs/assets"
# Links are relative, so that they work if a proxy removes the beginning of the path.
_ASSETS = ASSETS.removeprefix("/")
_FILES = StaticFiles(directory=Path(fastapi_offline.__file__).parent / "static")

_START = """
SwaggerUIBundle({url: "openapi.json", dom_id: "#description", deepLinking: true,
  validatorUrl: null, presets: [SwaggerUIBundle.presets.apis]});
"""
_START_HASH = b64encode(sha256(_START.encode()).digest()).decode()
_POLICY = (
    f"default-src 'none'; script-src 'self' 'sha256-{_START_HASH}'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_PAGE = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Greengrocer: the HTTP interface</title>
<link rel="stylesheet" href="{_ASSETS}/swagger-ui.css">
<link rel="icon" href="data:,">
</head>
<body>
<div id="description"></div>
<script src="{_ASSETS}/swagger-ui-bundle.js"></script>
<script>{_START}</script>
</body>
</html>
"""


async def docs(service: Service, request: Request) -> Response:
    """The page that shows ``/openapi.json``."""
    del service, request
    return HTMLResponse(_PAGE, headers={"Content-Security-Policy": _POLICY})


async def docs_asset(service: Service, request: Request) -> Response:
    """A file of Swagger UI's; raises HTTPException 404."""
    del service
    return await _FILES.get_response(request.path_params["name"], request.scope)


async def openapi(service: Service, request: Request) -> Response:
    """The description of all endpoints that have a summary, as ``create_app`` wrote it."""
    del service
    return Response(request.app.state.description, media_type="application/json")


DOCS = Endpoint("GET", "/docs", docs)
DOCS_ASSET = Endpoint("GET", f"{ASSETS}/{{name}}", docs_asset)
OPENAPI = Endpoint("GET", "/openapi.json", openapi)
