"""The methods and attributes of uvicorn that the server overrides or uses, checked at the start.

If uvicorn no longer calls an overridden method, ours never runs, and no error is raised: uploads
would be cut off, and work for disconnected clients would continue.
"""

import ast
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from packaging.specifiers import SpecifierSet

from greengrocer.errors import UnsuitableLibrary

# The versions that pyproject.toml allows, and by module the names that must exist. The modules are
# parsed, not imported: a supervisor of processes needs no server.
ALLOWED = {"uvicorn": ">=0.53,<0.55", "httptools": ">=0.8,<0.10"}
OVERRIDDEN = {
    "protocols/http/httptools_impl.py": (
        "STATUS_LINE",
        *(
            f"HttpToolsProtocol.{name}"
            for name in (
                *("connection_made", "connection_lost", "data_received", "shutdown"),
                *("on_message_begin", "on_url", "on_header", "on_headers_complete", "on_body"),
                *("on_message_complete", "on_response_complete", "_unset_keepalive_if_required"),
                *("parser", "transport", "flow", "scope", "headers", "url", "cycle", "loop"),
                *("server_state", "timeout_keep_alive"),
            )
        ),
        *(
            f"RequestResponseCycle.{name}"
            for name in (
                *("run_asgi", "send", "receive", "transport", "flow", "default_headers"),
                *(
                    "message_event",
                    "on_response",
                    "disconnected",
                    "keep_alive",
                    "more_body",
                    "body",
                ),
                *("waiting_for_100_continue", "response_started", "response_complete"),
                *("chunked_encoding", "expected_content_length"),
            )
        ),
    ),
    "protocols/http/flow_control.py": tuple(
        f"FlowControl.{name}"
        for name in (
            *("drain", "pause_reading", "resume_reading", "pause_writing", "resume_writing"),
            *("write_paused", "_transport"),
        )
    ),
    "server.py": tuple(
        f"Server.{name}"
        for name in (
            *("startup", "main_loop", "handle_exit", "should_exit", "run", "shutdown"),
            *("config", "lifespan", "server_state", "servers", "started"),
        )
    ),
    "middleware/proxy_headers.py": (
        *("ProxyHeadersMiddleware.app", "ProxyHeadersMiddleware.trusted_hosts"),
        "_TrustedHosts.get_trusted_client_address",
    ),
}


def check_overrides() -> None:
    """Raise UnsuitableLibrary if a library is too old or lacks a name that the server needs."""
    for package, allowed in ALLOWED.items():
        lowest = next(part for part in SpecifierSet(allowed) if part.operator == ">=")
        found = version(package)
        if not lowest.contains(found, prereleases=True):
            raise _unsuitable(package, "is too old")
    spec = find_spec("uvicorn")
    assert spec is not None
    assert spec.origin is not None
    for module, names in OVERRIDDEN.items():
        defined = _names(Path(spec.origin).parent / module)
        missing = [name for name in names if name not in defined]
        if missing:
            raise _unsuitable("uvicorn", f"has no {missing[0]}, which the server overrides or uses")


def _unsuitable(package: str, reason: str) -> UnsuitableLibrary:
    wanted = f"pip install '{package}{ALLOWED[package]}'"
    return UnsuitableLibrary(f"{package} {version(package)} {reason}: {wanted}")


def _names(file: Path) -> set[str]:
    """The names that a module defines; methods and attributes as ``Class.name``."""
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError):
        return set()
    found: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.Assign):
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{name}" for name in _members(node)}
    return found


def _members(owner: ast.ClassDef) -> set[str]:
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    found = {node.name for node in owner.body if isinstance(node, functions)}
    for node in ast.walk(owner):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            found.add(node.attr)
    return found
