"""The files that a receipt names: whether they are those that won, in it and on disk.

On disk, as a requester hands them out or as a publisher leaves them, every file of every shard has to be there and be
the right one, and nothing else may be; ``combined_results/`` is made from them (``node.receipt.layout``), so it may be
missing, and if it is there it has to be just that.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from node import limits
from node.errors import BadResult, ExecutionFailed, StorageError
from node.model import STREAMS, Sha256
from node.receipt.broken import BrokenError, require
from node.receipt.layout import COMBINED, PER_SHARD, combined, folder_of, published_at, split, unvoted
from node.receipt.statement import InTotoStatement, Predicate, subjects_of
from node.verifier.dirhash import hash_tree
from node.verifier.manifest import PREFIX, Line, Manifest, manifest_of, parse, voted

Manifests = Mapping[int, Manifest]  # by number of the shard; of those of which something is kept

_OUT_OF_ORDER = "the list of result files is not in order"


def manifests_of(statement: InTotoStatement) -> Manifests:
    """The subjects as the manifests that won. Raises BrokenError."""
    predicate, shards = statement.predicate, len(statement.predicate.shards)
    try:
        manifests, whole = parted(((item.name, item.digest.sha256) for item in statement.subject), shards)
    except BadResult as error:
        raise BrokenError(f"{_OUT_OF_ORDER}: {error}") from error
    vote_on = predicate.spec.vote_on
    subjects = subjects_of(whole, unvoted(shards, manifests, vote_on))
    require([item.name for item in subjects] == [item.name for item in statement.subject], _OUT_OF_ORDER)
    require(subjects == statement.subject, "the subjects do not say which of them were voted on")
    for shard in predicate.shards:
        h1 = voted(manifests[shard.shard], vote_on).h1() if shard.shard in manifests else None
        where = f" of shard {shard.shard}" if shards > 1 else ""
        require(h1 == shard.manifest, f"the result files{where} that the receipt names are not those that won")
    require(whole.h1() == predicate.manifest, "the manifest is not that of the result files")
    return manifests


def parted(files: Iterable[tuple[str, str]], shards: int) -> tuple[Manifests, Manifest]:
    """(name, sha256) of all result files, to the manifest of each shard, its names harmless, and the whole one.

    Raises BadResult. That the files came in the order of the whole one is for the caller to compare.
    """
    try:
        lines = split(files, shards)
        manifests = {shard: parse(Manifest(tuple(own)).render()) for shard, own in sorted(lines.items())}
    except ValueError as error:
        raise BadResult(str(error)) from error
    return manifests, whole_manifest(manifests, shards)


def whole_manifest(manifests: Manifests, shards: int) -> Manifest:
    """All files as they lie in the results, in one list."""
    return manifest_of(
        Line(line.sha256, f"{PREFIX}/{folder_of(shard, shards)}{line.path}")
        for shard, manifest in manifests.items()
        for line in manifest.lines
    )


def check_files(manifests: Manifests, predicate: Predicate, results: Path) -> None:
    """That ``results`` has these files and no other. Blocking. Raises BrokenError."""
    published = _published(predicate)
    try:
        if any((results / place).is_dir() for place in published.values()):
            _check_published(manifests, published, results)
        elif len(predicate.shards) == 1:
            _check_tree(manifests.get(0, Manifest(())), results, "")
        else:
            _check_handed_out(manifests, len(predicate.shards), results)
    except (ExecutionFailed, StorageError) as error:
        raise BrokenError(f"the results cannot be checked: {error}") from error
    except OSError as error:
        raise BrokenError(f"the results cannot be checked: {error.strerror}: {error.filename}") from error


def combined_manifest(manifests: Manifests, results: Path) -> Manifest:
    """What ``combined_results/`` has to hold. Blocking. Raises OSError, for streams that cannot be read."""
    lines = [Line(line.sha256, line.name) for _, line in combined(manifests).files.values()]
    for stream in STREAMS:
        digest = hashlib.sha256()
        for piece in stream_pieces(manifests, results, stream):
            digest.update(piece)
        lines.append(Line(Sha256(digest.hexdigest()), f"{PREFIX}/{stream}"))
    return Manifest(tuple(lines))


def stream_pieces(manifests: Manifests, results: Path, stream: str) -> Iterator[bytes]:
    """``stdout`` or ``stderr`` of all shards, one after the other, by their numbers. Blocking. Raises OSError."""
    name = f"{PREFIX}/{stream}"
    for shard in sorted(manifests):
        if any(line.name == name for line in manifests[shard].lines):
            yield from _pieces(results / PER_SHARD / str(shard) / stream)


def _published(predicate: Predicate) -> dict[int, str]:
    """Where each shard lies in the job's folder, if a publisher left it: that of the execution which won it."""
    return {
        shard.shard: published_at(shard.shard, run.execution)
        for shard in predicate.shards
        for run in shard.executions
        if shard.location and run.node == shard.source
    }


def _check_published(manifests: Manifests, published: Mapping[int, str], results: Path) -> None:
    _check_names(results, {str(shard) for shard in manifests}, "")
    for shard, manifest in manifests.items():
        place = Path(published[shard])  # All are published, or none is (``node.receipt.votes``).
        _check_names(results / place.parent, {place.name}, f"{place.parent}/")
        _check_tree(manifest, results / place, f"{place}/")


def _check_handed_out(manifests: Manifests, shards: int, results: Path) -> None:
    _check_names(results, {PER_SHARD, COMBINED}, "")
    _check_names(results / PER_SHARD, {str(shard) for shard in manifests}, f"{PER_SHARD}/")
    for shard, manifest in manifests.items():
        _check_tree(manifest, results / PER_SHARD / str(shard), folder_of(shard, shards))
    if (results / COMBINED).exists():
        many = limits.RESULT_FILES_MAX * len(manifests)
        _check_tree(combined_manifest(manifests, results), results / COMBINED, f"{COMBINED}/", many)


def _pieces(path: Path) -> Iterator[bytes]:
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        while piece := file.read(limits.BLOB_CHUNK_BYTES):
            yield piece


def _check_names(folder: Path, allowed: set[str], shown: str) -> None:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name not in allowed:
                kind = "folder" if entry.is_dir(follow_symlinks=False) else "file"
                raise BrokenError(f"the {kind} {shown + entry.name!r} is not one of the results")
            require(entry.is_dir(follow_symlinks=False), f"{shown + entry.name!r} is no folder")


def _check_tree(manifest: Manifest, folder: Path, shown: str, files_max: int = limits.RESULT_FILES_MAX) -> None:
    found = hash_tree(folder, files_max=files_max, bytes_max=2**62).manifest
    there = {line.name: line.sha256 for line in found.lines}
    for line in manifest.lines:
        name = shown + line.path
        require(line.name in there, f"the result file {name!r} is missing")
        require(there.pop(line.name) == line.sha256, f"the result file {name!r} is not the one that won")
    for extra in there:
        raise BrokenError(f"the file {shown + extra.removeprefix(f'{PREFIX}/')!r} is not one of the results")
