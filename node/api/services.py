"""What the API is given by the node, and what its requests share.

Lives here: the two records and the way from a request to them. Does not live here: routes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from node.ambient import Ambient
from node.api.admission import Admission
from node.api.auth import Gate
from node.api.listings import Listings
from node.api.quotas import Quota
from node.api.views import NodeView
from node.journal.base import Journal
from node.model import PeerId
from node.requester.jobs import Jobs
from node.vault.modules import Modules
from node.vault.results import Results

Connection = ASGIConnection[Any, Any, Any, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The node, as the API sees it."""

    jobs: Jobs
    journal: Journal
    modules: Modules
    results: Results
    ambient: Ambient
    peer_id: PeerId  # the audience of tokens
    admission: Admission
    node_view: Callable[[], NodeView]
    peers: Callable[[], tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """The services, and the state that requests share."""

    services: Services
    gate: Gate
    listings: Listings
    streams: Quota
    log_streams: Quota
    waits: Quota
    uploads: Quota


def api_of(connection: Connection) -> Api:
    """What ``make_app`` put there."""
    api = connection.app.state.api
    assert isinstance(api, Api)
    return api


async def signed_in(connection: Connection, _: BaseRouteHandler) -> None:
    """Guard of every route that needs a caller, who is ``request.auth`` from then on. Raises NotSignedIn, Forbidden."""
    headers = connection.headers
    connection.scope["auth"] = api_of(connection).gate.client(headers.get("authorization"), headers.get("host"))
