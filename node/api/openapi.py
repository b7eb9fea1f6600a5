"""The description of the API: what Litestar knows from the routes, completed by what it cannot know.

Bodies are read by hand (streams, and a parser that names the path of each error), so their schemas are added here, as
are the headers, the sign-in and the one form of every error.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import msgspec
from litestar import HttpMethod, Request, Router
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.types import OperationIDCreator
from typing_extensions import override

from node.api.problems import PROBLEM_JSON
from node.api.views import ManifestView, Problem
from node.model import JobSpec

RECEIPT_JSON = "application/vnd.dsse.envelope.v1+json"

_REF = "#/components/schemas/{name}"
_OPEN_OPERATIONS = ("health", "getNode")
_HEADERS = {
    "submitJob": ("Prefer",),
    "getJob": ("Prefer",),
    "followJob": ("Last-Event-ID",),
    "followLogs": ("Last-Event-ID",),
    "getResult": ("Range", "If-Range", "If-None-Match"),
    "uploadModule": ("Repr-Digest", "Digest"),
}
_BYTES = ("application/octet-stream", {"type": "string", "format": "binary"})
_CONTENT = {
    "followJob": ("text/event-stream", {"type": "string"}),
    "followLogs": ("text/event-stream", {"type": "string"}),
    "listResults": ("application/json", {"$ref": _REF.format(name="ManifestView")}),
    "getReceipt": (RECEIPT_JSON, {"type": "object"}),
    "getResult": _BYTES,
    "getResultsJoined": _BYTES,
}


def also_head(name: str) -> OperationIDCreator:
    """The operation id of a route that answers HEAD too: the two may not share one."""
    return lambda _handler, method, _path: f"{name}Head" if method == HttpMethod.HEAD else name


class Document(JsonRenderPlugin):
    """Renders the completed document, once."""

    def __init__(self, *, path: Sequence[str]) -> None:
        super().__init__(path=path)
        self._rendered = b""

    @override
    def receive_router(self, router: Router) -> None:
        """Take Litestar's own page for unknown schemas away: what is not there is a problem like any other."""
        router.routes = [route for route in router.routes if "{" not in route.path]

    @override
    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        """The document as JSON."""
        if not self._rendered:
            self._rendered = msgspec.json.encode(completed(openapi_schema))
        return self._rendered


def openapi_config() -> OpenAPIConfig:
    """Served at ``/schema`` and ``/schema/openapi.json``; there is no page, so nothing is loaded from elsewhere."""
    return OpenAPIConfig(
        title="Quorate node",
        version=_version(),
        path="/schema",
        use_handler_docstrings=True,
        render_plugins=[Document(path=("/", "/openapi.json"))],
    )


def completed(document: dict[str, Any]) -> dict[str, Any]:
    """Add what Litestar cannot know; ``document`` is changed."""
    _, schemas = msgspec.json.schema_components((JobSpec, ManifestView, Problem), ref_template=_REF)
    components = document.setdefault("components", {})
    components.setdefault("schemas", {}).update(schemas)
    components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT (EdDSA)"}}
    for item in document["paths"].values():
        for operation in item.values():
            _complete(operation)
    return document


def _complete(operation: dict[str, Any]) -> None:
    name = operation["operationId"].removesuffix("Head")
    if name not in _OPEN_OPERATIONS:
        operation["security"] = [{"token": []}]
    responses = operation["responses"]
    responses.pop("400", None)
    responses["default"] = {
        "description": "A problem (RFC 9457)",
        "content": {PROBLEM_JSON: {"schema": {"$ref": _REF.format(name="Problem")}}},
    }
    for header in _HEADERS.get(name, ()):
        parameter = {"name": header, "in": "header", "required": False, "schema": {"type": "string"}}
        operation.setdefault("parameters", []).append(parameter)
    if name in _CONTENT:
        media_type, schema = _CONTENT[name]
        responses["200"]["content"] = {media_type: {"schema": schema}}
    if name in ("submitJob", "planJob"):
        operation["requestBody"] = _body("application/json", {"$ref": _REF.format(name="JobSpec")})
    if name == "uploadModule":
        operation["requestBody"] = _body("application/wasm", {"type": "string", "format": "binary"})


def _body(media_type: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"required": True, "content": {media_type: {"schema": schema}}}


def _version() -> str:
    try:
        return version("quorate")
    except PackageNotFoundError:
        return "0"
