"""What can go wrong in a command, besides what ``node.errors`` knows already. Each says what to do next.

* NodeError
  - CommandError        carries the next step
    - UsageProblem        a flag or an argument cannot be what was meant
    - Unreachable         nobody answers there, or the connection broke
    - TimedOut            the wait ended before the job did
    - Refused             the node said no: a problem of the API (RFC 9457)
      - SpecRefused         because the job or its module breaks a rule
    - BrokenAnswer        what the node answered makes no sense, or is not what won the vote

Does not live here: which exit code each has (``cli.exits``).
"""

from __future__ import annotations

from node.errors import NodeError


class CommandError(NodeError):
    """One sentence, and in ``hint`` what to do next."""

    def __init__(self, problem: str, hint: str = "") -> None:
        super().__init__(problem)
        self.hint = hint


class UsageProblem(CommandError):
    """The command line cannot be understood."""


class Unreachable(CommandError):
    """The node cannot be reached, or went away in the middle."""


class TimedOut(CommandError):
    """The caller's patience ended first."""


class Refused(CommandError):
    """The node refused; ``code`` is the stable one of its problem details, empty when it gave none."""

    def __init__(self, problem: str, hint: str = "", *, code: str = "", status: int = 0) -> None:
        super().__init__(problem, hint)
        self.code = code
        self.status = status


class SpecRefused(Refused):
    """The node refused the job or the module themselves: ``rule`` says why, and ``path`` names the field of the spec,
    if it is about one.
    """

    def __init__(self, rule: str, path: str = "", *, code: str = "", status: int = 0) -> None:
        super().__init__(f"{rule} at `{path}`" if path else rule, code=code, status=status)
        self.rule = rule
        self.path = path


class BrokenAnswer(CommandError):
    """The node answered something that must not be used."""
