"""Where the files of each shard lie in a folder of results, and what is made of them for people. Pure.

One shard: ``stdout``, ``stderr``, ``exitCode`` and the output volumes lie at the top. Several: so they lie in
``per_shard/<number>/``, and ``combined_results/`` has all of them together: ``stdout`` and ``stderr`` one after the
other, the files of output volumes under their own names; of different files that share one, the first.

Where a publisher put them the folder of a job has ``<shard>/<execution>/`` for each (``node.publisher.base.below``).

Lives here: names. Does not live here: reading and writing (``node.receipt.files``, ``cli.combined``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from node.model import EXIT_CODE, STREAMS, VotedOn
from node.verifier.manifest import PREFIX, Line, Manifest

PER_SHARD, COMBINED = "per_shard", "combined_results"

_OF_A_SHARD = re.compile(rf"{PER_SHARD}/(0|[1-9][0-9]{{0,5}})/(.+)\Z", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Combined:
    """What belongs into ``combined_results/`` besides the streams."""

    files: Mapping[str, tuple[int, Line]]  # by name: the shard that it comes from, and its line there
    differing: int  # files that are in ``per_shard/`` alone, because another has their name


def folder_of(shard: int, shards: int) -> str:
    """What stands before a file's own name: ``per_shard/7/``, or nothing."""
    return f"{PER_SHARD}/{shard}/" if shards > 1 else ""


def published_at(shard: int, execution: str) -> str:
    """Where a shard lies in a job's folder as a publisher leaves it."""
    return f"{shard}/{execution}"


def unvoted(shards: int, kept: Iterable[int], on: VotedOn) -> frozenset[str]:
    """Names of files that did not count in a vote, of the shards that are kept."""
    if on == "all":
        return frozenset()
    return frozenset(folder_of(shard, shards) + stream for shard in kept for stream in STREAMS)


def split(names: Iterable[tuple[str, str]], shards: int) -> dict[int, list[Line]]:
    """(name, sha256) of files to the lines of each shard's own manifest, in their order. Raises ValueError."""
    found: dict[int, list[Line]] = {}
    for name, sha256 in names:
        shard, own = 0, name
        if shards > 1:
            match = _OF_A_SHARD.match(name)
            if match is None or int(match[1]) >= shards:
                raise ValueError(f"{name!r} is of no shard")
            shard, own = int(match[1]), match[2]
        found.setdefault(shard, []).append(Line(sha256, f"{PREFIX}/{own}"))  # type: ignore[arg-type]
    return found


def combined(manifests: Mapping[int, Manifest]) -> Combined:
    """The files of output volumes of all shards, by their numbers."""
    files: dict[str, tuple[int, Line]] = {}
    folders: set[str] = set()
    differing = 0
    for shard in sorted(manifests):
        for line in manifests[shard].lines:
            name = line.path
            if name in STREAMS or name == EXIT_CODE:
                continue
            above = _above(name)
            if name in files:
                differing += files[name][1].sha256 != line.sha256
            elif name in folders or not files.keys().isdisjoint(above):
                differing += 1
            else:
                files[name] = shard, line
                folders.update(above)
    return Combined(files, differing)


def _above(name: str) -> Sequence[str]:
    """The folders that a name lies in."""
    parts = name.split("/")
    return ["/".join(parts[:end]) for end in range(1, len(parts))]
