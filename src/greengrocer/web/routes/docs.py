"""``/docs``: the interactive description, its scripts from this host and no other."""

from base64 import b64encode
from hashlib import sha256
from pathlib import Path

import fastapi_offline
from starlette.responses import HTMLResponse
from starlette.staticfiles import StaticFiles

ASSETS = "/docs/assets"
# Links are relative, so that they hold below whatever path a proxy has taken off.
_ASSETS = ASSETS.removeprefix("/")

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


def docs_page() -> HTMLResponse:
    """The page that shows ``/openapi.json``."""
    return HTMLResponse(_PAGE, headers={"Content-Security-Policy": _POLICY})


def docs_assets() -> StaticFiles:
    """Swagger UI's script and style, from the package that carries them."""
    return StaticFiles(directory=Path(fastapi_offline.__file__).parent / "static")
