"""Routes about the node itself."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Request, get

from node.api.services import api_of
from node.api.views import NodeView, PeerList


class Health(msgspec.Struct, frozen=True):
    """That the node answers at all."""

    status: str = "ok"


@get("/health", operation_id="health")
async def health() -> Health:
    """Whether the node answers. Needs no token."""
    return Health()


@get("/v1/node", operation_id="getNode")
async def node(request: Request[Any, Any, Any]) -> NodeView:
    """The node that answers; its peer id is the audience of tokens. Needs no token."""
    return api_of(request).services.node_view()


@get("/peers", operation_id="listPeers")
async def peers(request: Request[Any, Any, Any]) -> PeerList:
    """The peers that have a session with this node."""
    return PeerList(peers=api_of(request).services.peers())
