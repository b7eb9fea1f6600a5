"""In which files results differ that should have been the same, for people. Pure.

Does not live here: asking for the lists (``node.requester.comparing``).
"""

from __future__ import annotations

from collections.abc import Sequence

from node.model import RESULT_NAMES, STREAMS, VotedOn
from node.verifier.manifest import Manifest, voted

_NAMES_SHOWN = 3
_NAME_CHARS = 80


def differing(results: Sequence[Manifest], on: VotedOn) -> tuple[str, ...]:
    """Paths of the files that counted and are not the same in all, or not there in all; streams and exit code first."""
    files = [{line.path: line.sha256 for line in voted(result, on).lines} for result in results]
    names = {name for each in files for name in each}
    return tuple(sorted((name for name in names if len({each.get(name) for each in files}) > 1), key=_streams_first))


def differences_told(names: Sequence[str], on: VotedOn) -> str:
    """In a line, with advice where the streams alone are to blame."""
    shown = ", ".join(
        name if len(name) <= _NAME_CHARS else f"{name[: _NAME_CHARS - 1]}…" for name in names[:_NAMES_SHOWN]
    )
    more = f" (+{len(names) - _NAMES_SHOWN} more)" if len(names) > _NAMES_SHOWN else ""
    advice = "; --vote-on outputs leaves stdout and stderr out of the vote"
    return f"groups differ in: {shown}{more}{advice if on == 'all' and set(names) <= set(STREAMS) else ''}"


def _streams_first(name: str) -> tuple[bool, str]:
    return name not in RESULT_NAMES, name
