"""What a node's refusal means: from problem details (RFC 9457) to an error that says what to do next. Pure."""

from __future__ import annotations

from http import HTTPStatus

import msgspec

from cli.errors import Refused, SpecRefused
from cli.output import program
from node.api.views import Problem

_OF_THE_SPEC = frozenset({"invalid_spec", "invalid_module"})
_WORDS_MAX = 2_000
_PHRASES = {status.value: status.phrase for status in HTTPStatus}

_HINTS = {
    "not_signed_in": "compare the clocks of both machines; is it a Quorate node that answers there?",
    "not_found": "`{program} job list` shows your jobs, `{program} job describe ID` what one has; a job belongs to"
    " the key that submitted it (QUORATE_KEY)",
    "conflict": "`{program} job describe ID` shows its state",
    "too_many": "wait for jobs to end, or delete what you no longer need, and try again",
    "too_large": "make it smaller",
    "unavailable": "try again later, or at another node",
    "driver_unavailable": "try again later, or at another node",
    "no_room": "try again later, or at another node",
    "internal": "the node's log says more",
    "operator": "the node's log says more; tell its operator",
    "no_such_route": "is this the URL of a Quorate API, and of the same version?",
}


def refusal(status: int, content_type: str, body: bytes) -> Refused:
    """The error of an answer that is none of success."""
    problem = _problem(content_type, body)
    if problem is None:
        said = f"the node answered {status} {_PHRASES.get(status, '')}".rstrip()
        return Refused(said, "is this the URL of a Quorate API?", status=status)
    detail = (problem.detail or problem.title)[:_WORDS_MAX]
    if problem.code in _OF_THE_SPEC:
        path = problem.path or ""
        return SpecRefused(detail.removesuffix(f" at `{path}`"), path, code=problem.code, status=status)
    hint = _HINTS.get(problem.code, "").format(program=program())
    return Refused(detail, hint, code=problem.code, status=status)


def _problem(content_type: str, body: bytes) -> Problem | None:
    if not content_type.startswith("application/problem+json"):
        return None
    try:
        return msgspec.json.decode(body, type=Problem)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
