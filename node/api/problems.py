"""From error to answer: RFC 9457 problem details, by one table.

Lives here: which status and which stable ``code`` an error has, and the handler that Litestar calls. An error that is
in no table is a bug: it is logged once, and the caller learns nothing of it.
"""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any, NamedTuple

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException

from node import errors
from node.api.views import Problem

log = logging.getLogger("quorate.api")

PROBLEM_JSON = "application/problem+json"


class Answer(NamedTuple):
    """How an error is told. ``code`` is stable; clients may rely on it."""

    status: int
    code: str
    title: str


ANSWERS: dict[type[errors.NodeError], Answer] = {
    errors.NodeError: Answer(500, "internal", "The node failed"),
    errors.JobError: Answer(422, "job", "The job cannot succeed"),
    errors.InvalidSpec: Answer(422, "invalid_spec", "The job spec breaks a rule"),
    errors.InvalidModule: Answer(422, "invalid_module", "Not a module that this node runs"),
    errors.ExecutionFailed: Answer(422, "execution_failed", "The workload was ended"),
    errors.CallerError: Answer(400, "bad_request", "The request cannot be understood"),
    errors.NotSignedIn: Answer(401, "not_signed_in", "Not signed in"),
    errors.Forbidden: Answer(403, "forbidden", "Not admitted"),
    errors.NotFound: Answer(404, "not_found", "Not found"),
    errors.Conflict: Answer(409, "conflict", "Not possible in this state"),
    errors.TooLarge: Answer(413, "too_large", "Too large"),
    errors.TooMany: Answer(429, "too_many", "A quota is reached"),
    errors.PeerError: Answer(502, "peer", "A peer failed"),
    errors.MalformedMessage: Answer(502, "peer_malformed", "A peer broke the protocol"),
    errors.BadProposal: Answer(502, "peer_proposal", "A peer's proposal does not hold"),
    errors.BadResult: Answer(502, "peer_result", "A peer handed over something else"),
    errors.PeerGone: Answer(502, "peer_gone", "A peer went away"),
    errors.NotSpoken: Answer(502, "peer_gone", "A peer does not speak that protocol"),
    errors.BlobRefused: Answer(502, "peer_refused", "A peer refused"),
    errors.ResourceError: Answer(503, "unavailable", "This node cannot do it now"),
    errors.DriverUnavailable: Answer(503, "driver_unavailable", "A backend of this node is missing or down"),
    errors.StorageError: Answer(503, "storage", "Data of this node cannot be used"),
    errors.Absent: Answer(503, "storage", "Data cannot be had by this node"),
    errors.Unconfirmed: Answer(503, "storage", "Data of this node is not what its name says"),
    errors.NoRoom: Answer(507, "no_room", "A limit of this node is reached"),
    errors.OperatorError: Answer(500, "operator", "The node is not set up for this"),
    errors.BadTemplate: Answer(500, "operator", "The node is not set up for this"),
    errors.AddressInUse: Answer(500, "operator", "The node is not set up for this"),
    errors.KeyFileError: Answer(500, "operator", "The node is not set up for this"),
    errors.JournalError: Answer(500, "operator", "The node is not set up for this"),
}

# What goes wrong before a route is reached, or with HTTP alone; other statuses are called by their phrase.
HTTP_CODES = {
    400: "bad_request",
    401: "not_signed_in",
    403: "forbidden",
    404: "no_such_route",
    405: "method_not_allowed",
    408: "too_slow",
    413: "too_large",
    416: "range_not_satisfiable",
    500: "internal",
}

_HIDDEN = "the request could not be answered; the node's log says why"


def problem_of(error: Exception) -> Problem:
    """What a caller is told. Words of errors that are the node's own fault stay in its log."""
    if isinstance(error, errors.NodeError):
        answer = next(ANSWERS[cls] for cls in type(error).__mro__ if cls in ANSWERS)
        return _problem(answer, _HIDDEN if answer.status == 500 else str(error), _path_of(error))
    if isinstance(error, HTTPException) and error.status_code < 500:
        phrase = HTTPStatus(error.status_code).phrase
        code = HTTP_CODES.get(error.status_code, phrase.lower().replace(" ", "_"))
        return _problem(Answer(error.status_code, code, phrase), _detail_of(error, phrase), None)
    return _problem(ANSWERS[errors.NodeError], _HIDDEN, None)


def answer_error(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Litestar's exception handler for everything."""
    problem = problem_of(error)
    if problem.status >= 500:
        _log(request, error, problem)
    headers = {name: value for name, value in (getattr(error, "headers", None) or {}).items() if name}
    if problem.status == 401:
        headers["www-authenticate"] = "Bearer"
    if problem.status in (429, 503):
        headers["retry-after"] = "5"
    body = b"" if request.method == "HEAD" else msgspec.json.encode(problem)
    return Response(body, status_code=problem.status, media_type=PROBLEM_JSON, headers=headers)


def _log(request: Request[Any, Any, Any], error: Exception, problem: Problem) -> None:
    """What this machine or a peer cannot do now is a line; anything else has to be looked for in the code."""
    asked = {"method": request.method, "path": request.scope["path"]}
    if problem.status == 500:
        log.error("request_failed", exc_info=error, extra=asked)
    else:
        log.warning("request_refused", extra={**asked, "code": problem.code, "reason": problem.detail})


def _problem(answer: Answer, detail: str, path: str | None) -> Problem:
    return Problem(
        type=f"urn:quorate:problem:{answer.code}",
        title=answer.title,
        status=answer.status,
        detail=detail,
        code=answer.code,
        path=path,
    )


def _path_of(error: errors.NodeError) -> str | None:
    return error.path if isinstance(error, errors.InvalidSpec) else None


def _detail_of(error: HTTPException, phrase: str) -> str:
    """Litestar repeats the phrase where it has nothing to say."""
    extra = error.extra
    if isinstance(extra, list):
        return "; ".join(
            f"{item.get('key', '')}: {item.get('message', '')}" for item in extra if isinstance(item, dict)
        )
    return error.detail or phrase
