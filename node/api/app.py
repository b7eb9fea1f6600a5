"""The application: which routes there are, and what holds for all of them.

Lives here: assembly alone. No CORS header is ever sent, so no page of another origin can read an answer.
"""

from __future__ import annotations

from litestar import Litestar, Router
from litestar.datastructures import State

from node import limits
from node.api import about, events, jobs, joined, logs, modules, results, shards
from node.api.auth import Gate
from node.api.listings import Listings
from node.api.openapi import openapi_config
from node.api.problems import answer_error
from node.api.quotas import Quota
from node.api.services import Api, Services, signed_in

_SIGNED_IN = (
    jobs.submit,
    shards.listed,
    jobs.plan,
    jobs.recent,
    jobs.describe,
    jobs.cancel,
    jobs.receipt,
    events.follow,
    logs.follow,
    results.manifest,
    results.forget,
    results.download,
    joined.joined,
    modules.upload,
    modules.look,
    about.peers,
)


def make_app(services: Services) -> Litestar:
    """The API over one node."""
    api = Api(
        services=services,
        gate=Gate(services.peer_id, services.admission, services.ambient.now),
        listings=Listings(),
        streams=Quota(
            "event streams", per_client=limits.EVENT_STREAMS_PER_CLIENT, overall=limits.HTTP_CONNECTIONS_MAX // 2
        ),
        log_streams=Quota(
            "streams of output", per_client=limits.LOG_STREAMS_PER_CLIENT, overall=limits.HTTP_CONNECTIONS_MAX // 4
        ),
        waits=Quota("requests that wait", per_client=limits.WAITS_PER_CLIENT, overall=limits.HTTP_CONNECTIONS_MAX // 4),
        uploads=Quota("uploads", per_client=limits.UPLOADS_PER_CLIENT, overall=limits.UPLOADS_MAX),
    )
    return Litestar(
        route_handlers=[Router("/v1", route_handlers=_SIGNED_IN, guards=[signed_in]), about.node, about.health],
        exception_handlers={Exception: answer_error},
        openapi_config=openapi_config(),
        state=State({"api": api}),
        request_max_body_size=limits.SPEC_BODY_BYTES_MAX,
        logging_config=None,
        debug=False,
    )
