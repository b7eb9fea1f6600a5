"""From what happened to the exit code: the one table of the command line, and its text for ``--help``.

Does not live here: what is said about it (``cli.outcome``, ``cli.main``).
"""

from __future__ import annotations

from enum import IntEnum

from cli.errors import SpecRefused, TimedOut, Unreachable, UsageProblem
from node.errors import InvalidModule, InvalidSpec, NodeError


class Exit(IntEnum):
    """Exit codes; stable, scripts rely on them."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    NOT_VERIFIED = 3
    UNREACHABLE = 4
    TIMED_OUT = 5
    INTERRUPTED = 130


MEANINGS: dict[Exit, str] = {
    Exit.DONE: "done; for a job: done and verified (with the noop verifier: done)",
    Exit.FAILED: "failed",
    Exit.USAGE: "usage: a wrong flag, or a job spec or module that the rules refuse",
    Exit.NOT_VERIFIED: "not verified: the nodes did not agree",
    Exit.UNREACHABLE: "cannot reach the node",
    Exit.TIMED_OUT: "timed out: the wait, or the job itself",
    Exit.INTERRUPTED: "interrupted with Ctrl-C",
}

OF_ERRORS: dict[type[NodeError], Exit] = {
    NodeError: Exit.FAILED,
    InvalidSpec: Exit.USAGE,
    InvalidModule: Exit.USAGE,
    UsageProblem: Exit.USAGE,
    SpecRefused: Exit.USAGE,
    Unreachable: Exit.UNREACHABLE,
    TimedOut: Exit.TIMED_OUT,
}

_AS_IT_STANDS = "\b\n"

# A job that failed because of time has timed out; any other failure is one.
_OF_FAILURES = {"time": Exit.TIMED_OUT}


def of_error(error: NodeError) -> Exit:
    """By the nearest class that the table has."""
    return next(OF_ERRORS[cls] for cls in type(error).__mro__ if cls in OF_ERRORS)


def of_job(state: str, failure_code: str | None) -> Exit:
    """By the state of a job that has ended."""
    if state == "completed":
        return Exit.DONE
    if state == "not_verified":
        return Exit.NOT_VERIFIED
    return _OF_FAILURES.get(failure_code or "", Exit.FAILED)


def epilog(*, rich: bool) -> str:
    """The table for ``--help``. Where Rich does not lay it out, ``\\b`` keeps its lines apart."""
    lines = "\n".join(f"{code.value:>3}  {meaning}" for code, meaning in MEANINGS.items())
    return f"{'' if rich else _AS_IT_STANDS}Exit codes:\n{lines}"
