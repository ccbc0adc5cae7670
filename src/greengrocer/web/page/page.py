"""``GET /`` and the files that the page loads: read once, served from memory."""

from dataclasses import dataclass
from hashlib import sha256
from html import escape
from importlib.resources import files
from pathlib import PurePath
from string import Template

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from greengrocer.imaging.formats import media_types
from greengrocer.web.endpoint import Endpoint
from greengrocer.web.request_state import prefix_of
from greengrocer.web.service import Service

# Not the system's table of media types: its type for scripts differs between machines.
_KINDS = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_HOME = files(__package__)
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# Links are relative. Below a path they are so to that path, also where its last slash is missing.
_BASED_POLICY = _POLICY.replace("base-uri 'none'", "base-uri 'self'")


@dataclass(frozen=True)
class _File:
    body: bytes
    kind: str

    def response(self, request: Request, headers: dict[str, str]) -> Response:
        """The file, or 304 where the client has it already."""
        # A load balancer that compresses makes the tag weak, so only the digest is compared.
        digest = sha256(self.body).hexdigest()[:32]
        fresh = {"ETag": f'"{digest}"', "Cache-Control": "no-cache", **headers}
        if digest in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=fresh)
        return Response(self.body, headers=fresh, media_type=self.kind)


_TEMPLATE = Template((_HOME / "index.html").read_text(encoding="utf-8"))
_ASSETS = {
    asset.name: _File(asset.read_bytes(), _KINDS[PurePath(asset.name).suffix])
    for asset in (_HOME / "assets").iterdir()
}


async def page(service: Service, request: Request) -> Response:
    """The page, with the name of the current model."""
    prefix = prefix_of(request.scope)
    model = service.classifier.labels.model
    text = _TEMPLATE.substitute(
        base=f'<base href="{escape(prefix)}/">' if prefix else "",
        name=escape(model.name),
        version=escape(model.version),
        kinds=",".join(media_types()),
    )
    policy = _BASED_POLICY if prefix else _POLICY
    return _File(text.encode(), "text/html").response(request, {"Content-Security-Policy": policy})


async def page_asset(service: Service, request: Request) -> Response:
    """A script, a style or the logo; raises HTTPException 404."""
    del service
    name = request.path_params["name"]
    if name not in _ASSETS:
        raise HTTPException(404)
    return _ASSETS[name].response(request, {})


PAGE = Endpoint("GET", "/", page, is_open=True)
PAGE_ASSET = Endpoint("GET", "/page/{name}", page_asset, is_open=True)
