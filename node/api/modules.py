"""Routes of modules: upload as a stream, and whether the caller may use one already.

A module is stored once, whoever uploads it; that a client may use it is the journal's to know, and only an upload
(which proves that the client has the bytes) makes it so.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

import trio
from litestar import HttpMethod, Request, Response, post, route
from litestar.params import FromPath

from node import limits
from node.api.bodies import declared_length, next_chunk
from node.api.openapi import also_head
from node.api.services import Services, api_of
from node.api.views import ModuleView
from node.errors import CallerError, InvalidModule, NotFound, TooMany
from node.journal.base import SaveModule
from node.model import ClientId, Sha256
from node.vault.modules import HOW_TO_SHRINK, Upload

PIECE_BYTES = 1024 * 1024

Caller = Request[Any, Any, Any]

_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
_DIGEST = re.compile(r"(?:\A|,)\s*sha-256=:?([A-Za-z0-9+/]+={0,2}):?\s*(?:,|\Z)", re.IGNORECASE)


@post("/modules", operation_id="uploadModule")
async def upload(request: Caller) -> Response[ModuleView]:
    """Upload a WASM module; the body is the module itself.

    201, or 200 when this client had uploaded the same bytes before. A declared `Repr-Digest: sha-256=:…:` (RFC 9530) or
    `Digest: sha-256=…` is checked before anything is kept.
    """
    api = api_of(request)
    client: ClientId = request.auth
    length = declared_length(request.headers, limits.MODULE_BYTES_MAX, HOW_TO_SHRINK)
    wanted = _declared_digest(request)
    with api.uploads.one(client):
        await _check_quota(api.services, client, length or 0)
        incoming = await api.services.ambient.offload(api.services.modules.upload)
        try:
            await _receive(request, incoming, api.services)
            is_new = await _keep(incoming, client, wanted, api.services)
        finally:
            with trio.CancelScope(shield=True):  # Two system calls.
                await api.services.ambient.offload(incoming.abandon)
    view = ModuleView(sha256=incoming.sha256, size=incoming.size)
    headers = {"location": f"/v1/modules/{view.sha256}"}
    return Response(view, status_code=201 if is_new else 200, headers=headers)


@route("/modules/{sha256:str}", http_method=[HttpMethod.GET, HttpMethod.HEAD], operation_id=also_head("getModule"))
async def look(request: Caller, sha256: FromPath[str]) -> ModuleView:
    """Whether the caller may use this module: then it need not be uploaded again."""
    services = api_of(request).services
    size = await services.ambient.offload(_usable, services, request.auth, sha256)
    if size is None:
        raise NotFound(f"no module {sha256[:64]!r} that you uploaded; POST /v1/modules")
    return ModuleView(sha256=sha256, size=size)


async def _receive(request: Caller, incoming: Upload, services: Services) -> None:
    """Pieces of a mebibyte: a thread for each chunk of the network would cost more than the hashing."""
    pieces: list[bytes] = []
    more = True
    while more:
        chunk, more = await next_chunk(request.receive)
        pieces.append(chunk)
        if not more or sum(map(len, pieces)) >= PIECE_BYTES:
            await services.ambient.offload(incoming.write, b"".join(pieces))
            pieces.clear()


async def _keep(incoming: Upload, client: ClientId, wanted: Sha256 | None, services: Services) -> bool:
    """Make it durable that this client may use what came. Whether that is new."""
    sha256 = incoming.sha256
    if wanted is not None and sha256 != wanted:
        raise InvalidModule(f"expected bytes with the declared sha256 {wanted}, got {sha256}")
    had = await services.ambient.offload(services.journal.module_size, client, sha256) is not None
    if not had:
        await _check_quota(services, client, incoming.size)
    await services.ambient.offload(incoming.finish)
    if not had:
        durable = trio.Event()
        services.journal.write((SaveModule(client, sha256, incoming.size),), durable.set)
        await durable.wait()
    # What jobs under way need is held by their requester.
    await services.ambient.offload(services.modules.trim, frozenset({sha256}))
    return not had


async def _check_quota(services: Services, client: ClientId, size: int) -> None:
    used = await services.ambient.offload(services.journal.modules_bytes, client)
    if used + size > limits.MODULES_PER_CLIENT_BYTES:
        raise TooMany(f"your modules on this node have {used} of {limits.MODULES_PER_CLIENT_BYTES} bytes")


def _usable(services: Services, client: ClientId, sha256: str) -> int | None:
    """Blocking: the size of a module that this client uploaded and that is still here."""
    if not _SHA256.match(sha256) or services.journal.module_size(client, Sha256(sha256)) is None:
        return None
    return services.modules.size(Sha256(sha256))


def _declared_digest(request: Caller) -> Sha256 | None:
    """The sha256 that the caller says the body has; other algorithms are ignored. Raises CallerError."""
    header = request.headers.get("repr-digest") or request.headers.get("digest")
    if header is None or "sha-256" not in header.lower():
        return None
    match = _DIGEST.search(header)
    try:
        raw = base64.b64decode(match[1], validate=True) if match else b""
    except binascii.Error:
        raw = b""
    if len(raw) != 32:
        raise CallerError("expected `Repr-Digest: sha-256=:<base64 of 32 bytes>:`")
    return Sha256(raw.hex())
