"""How inputs are cut into shards: which of their paths a pattern selects, and batches of those. Pure.

Made once, when a job is submitted, and kept with it, so that nodes never disagree on it. Does not live here: what a
pattern means (``node.glob``), who lists the inputs (``node.requester.drafting``), what a node shows to a shard.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from node import limits
from node.errors import InvalidSpec
from node.glob import BadPattern, Glob
from node.model import Plan, Sharding
from node.storage.base import Entry

_PATTERN, _BASE, _BATCH = "$.sharding.glob_pattern", "$.sharding.base_path", "$.sharding.batch_size"
_SHOWN = 4


def shards_of(trees: Sequence[tuple[str, Sequence[Entry]]], sharding: Sharding) -> Plan:
    """The plan for inputs that lie at these guest paths, each with its listing; in the order of the listings.

    As in the reference system, the pattern is held against each path without ``base_path`` in front, and a folder can
    be selected like a file. A base that no path has in front is refused: then ``*`` would be the inputs themselves.
    Raises InvalidSpec.
    """
    base = rooted(sharding.base_path).rstrip("/")
    _check_base(trees, base)
    try:
        atoms = _atoms(trees, Glob(rooted(sharding.glob_pattern)), base)
    except BadPattern as error:
        raise InvalidSpec(_PATTERN, f"the pattern {sharding.glob_pattern!r} cannot be used: {error}") from error
    if not atoms:
        raise InvalidSpec(
            _PATTERN,
            f"no sharding atoms found for glob pattern {sharding.glob_pattern!r} below"
            f" {sharding.base_path!r}{_for_example(trees)}",
        )
    return _batches(atoms, sharding.batch_size)


def rooted(path: str) -> str:
    """With a slash in front."""
    return path if path.startswith("/") else f"/{path}"


def _check_base(trees: Sequence[tuple[str, Sequence[Entry]]], base: str) -> None:
    if not trees or any(_lies_in(base, path) for path in _paths(trees)):
        return
    guests = ", ".join(path for path, _ in trees[:_SHOWN]) + (", …" if len(trees) > _SHOWN else "")
    raise InvalidSpec(
        _BASE, f"expected where inputs lie: nothing is at or below {base!r}; they are at {guests}; write {trees[0][0]}"
    )


def _atoms(trees: Sequence[tuple[str, Sequence[Entry]]], glob: Glob, base: str) -> list[str]:
    atoms: list[str] = []
    for path in _paths(trees):
        if glob.matches(_below(base, path)):
            atoms.append(_speakable(path))
            if len(atoms) > limits.ATOMS_MAX:
                raise InvalidSpec(
                    _PATTERN,
                    f"expected a pattern that selects at most {limits.ATOMS_MAX} paths; folders instead of files",
                )
    return atoms


def _paths(trees: Sequence[tuple[str, Sequence[Entry]]]) -> Iterator[str]:
    for guest, entries in trees:
        for entry in entries:
            yield f"{guest}/{entry.path}" if entry.path else guest


def _speakable(path: str) -> str:
    """A path that can be named in a message."""
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise InvalidSpec(_PATTERN, f"it selects {path!r}, which is not UTF-8; rename that or leave it out") from error
    if len(path) > limits.SHARD_PATH_CHARS_MAX or "\0" in path:
        raise InvalidSpec(
            _PATTERN,
            f"it selects {path[:100]!r}…, a path may have {limits.SHARD_PATH_CHARS_MAX} characters; take its folder",
        )
    return path


def _below(base: str, path: str) -> str:
    """The path from ``base`` on; whole where it does not lie below."""
    return path[len(base) :] if _lies_in(base, path) else path


def _lies_in(base: str, path: str) -> bool:
    return path == base or path.startswith(f"{base}/")


def _batches(atoms: list[str], size: int) -> Plan:
    count = -(-len(atoms) // size)
    if count > limits.SHARDS_MAX:
        least = -(-len(atoms) // limits.SHARDS_MAX)
        raise InvalidSpec(
            _BATCH,
            f"expected a batch_size >= {least}: {len(atoms)} paths make {count} shards, a job may have"
            f" {limits.SHARDS_MAX}",
        )
    total = sum(len(path.encode()) for path in atoms)
    if total > limits.PLAN_BYTES_MAX:
        raise InvalidSpec(
            _PATTERN,
            f"expected at most {limits.PLAN_BYTES_MAX} bytes of selected paths, got {total}; select folders instead",
        )
    plan = tuple(tuple(atoms[at : at + size]) for at in range(0, len(atoms), size))
    if any(sum(len(path.encode()) for path in shard) > limits.SHARD_PATHS_BYTES_MAX for shard in plan):
        raise InvalidSpec(
            _BATCH, f"expected a smaller batch_size: the paths of a shard may have {limits.SHARD_PATHS_BYTES_MAX} bytes"
        )
    return plan


def _for_example(trees: Sequence[tuple[str, Sequence[Entry]]]) -> str:
    """What there is, so that the pattern can be put right."""
    found = list(_paths(trees))
    return f"; the inputs have {len(found)} paths, like {found[-1][:200]!r}" if found else "; the job has no inputs"
