"""What a result is, as text: one line ``<sha256, hex>  results/<path>`` per file. Pure.

The sha256 of exactly that text is the ``h1:`` hash that nodes vote on (``Hash1`` of golang.org/x/mod/sumdb/dirhash), so
whoever has the text that won can check every file against its own line. Lines are sorted bytewise by name as Go's
``sort.Strings`` does; for names that are valid Unicode this is Python's own order of strings, and all are: a name that
is not valid UTF-8 is refused, here and where a local tree is hashed. Folders, modes and times do not count.

A job may leave stdout and stderr out of its vote: then the hash is that of the other lines (``voted``).

Lives here: the text, its hash, which names are harmless. Does not live here: reading files (``node.verifier.dirhash``).
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from heapq import merge
from itertools import chain, islice, pairwise
from operator import attrgetter

import msgspec

from node import limits
from node.errors import BadResult
from node.model import STREAMS, DirHash, Sha256, VotedOn

PREFIX = "results"
UNVOTED = frozenset(f"{PREFIX}/{stream}" for stream in STREAMS)  # where a job has only its outputs voted on

_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
_SIZE = re.compile(r"(?:0|[1-9][0-9]{0,18})\Z")
_STEPS = frozenset(("", ".", ".."))  # Parts that name no file of their own.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SIZE_MAX = 2**62
_NAME = attrgetter("name")
# The longest lists have 100,000 rows and 64 MiB. No single call for one may last: none lets another thread run before
# it returns, and in one of those the node answers its peers.
_ROWS = 4096
_PIECE_BYTES = limits.MiB


class Line(msgspec.Struct, frozen=True, gc=False):
    """One file: the sha256 of its content, and its name from ``results/`` on."""

    sha256: Sha256
    name: str

    @property
    def path(self) -> str:
        """Where it lies in the folder of results: the name without ``results/`` in front."""
        return self.name.removeprefix(f"{PREFIX}/")


@dataclass(frozen=True, slots=True)
class Manifest:
    """All files of a result, sorted by name, each name once."""

    lines: tuple[Line, ...]

    def render(self) -> bytes:
        """The text whose sha256 is the hash."""
        return b"".join(self._pieces())

    def h1(self) -> DirHash:
        """The hash that nodes vote on."""
        digest = hashlib.sha256()
        for piece in self._pieces():
            digest.update(piece)
        return DirHash("h1:" + base64.b64encode(digest.digest()).decode())

    def _pieces(self) -> Iterator[bytes]:
        return _encoded(f"{line.sha256}  {line.name}\n" for line in self.lines)


def manifest_of(lines: Iterable[Line]) -> Manifest:
    """Lines in any order, names already checked with ``name_problem``."""
    return Manifest(tuple(_sorted(list(lines))))


def voted(manifest: Manifest, on: VotedOn) -> Manifest:
    """What of a result of one shard counts in its vote, and its proposals hash."""
    if on == "all":
        return manifest
    return Manifest(tuple(line for line in manifest.lines if line.name not in UNVOTED))


def name_problem(name: str) -> str | None:
    """Why a result file may not be called so, or None. The rule is the same for a peer's names and for our own files.

    A backslash is a character like any other, as on every system that the node runs on.
    """
    parts = name.split("/")
    if parts[0] != PREFIX or len(parts) < 2:
        return f"a name outside {PREFIX}/"
    if not _STEPS.isdisjoint(parts):
        return "a name that is not in its shortest form"
    if _CONTROL.search(name):
        return "a control character in a name"
    if len(parts) > limits.RESULT_DEPTH_MAX:
        return f"folders more than {limits.RESULT_DEPTH_MAX} deep"
    try:
        encoded = name.encode()
    except UnicodeEncodeError:
        return "a name that is not valid UTF-8"
    if len(encoded) > limits.RESULT_NAME_BYTES_MAX:
        return f"a name longer than {limits.RESULT_NAME_BYTES_MAX} bytes"
    # Parts can only be too long where the whole is.
    if len(encoded) > limits.RESULT_PART_BYTES_MAX and any(
        len(part.encode()) > limits.RESULT_PART_BYTES_MAX for part in parts
    ):
        return f"a part of a name longer than {limits.RESULT_PART_BYTES_MAX} bytes"
    return None


def parse(body: bytes) -> Manifest:
    """A peer's text to a manifest whose every name is harmless and which renders to the same bytes.

    Raises BadResult. Nothing may be written to disk before this has returned.
    """
    return _checked(Manifest(tuple(_line(row) for row in _rows(body))))


def render_sized(manifest: Manifest, sizes: Sequence[int]) -> bytes:
    """The text with the size of each file in front of its line: what answers ``messages.ManifestWanted``."""
    return b"".join(
        _encoded(f"{size} {line.sha256}  {line.name}\n" for line, size in zip(manifest.lines, sizes, strict=True))
    )


def parse_sized(body: bytes) -> tuple[Manifest, tuple[int, ...]]:
    """A peer's sized text to a manifest as ``parse`` gives it, and the sizes in its order. Raises BadResult."""
    lines, sizes = [], []
    for row in _rows(body):
        size, _, rest = row.partition(" ")
        if not _SIZE.match(size):
            raise BadResult(f"a manifest line without a size: {_quoted(row)}")
        sizes.append(int(size))
        lines.append(_line(rest))
    return _checked(Manifest(tuple(lines))), tuple(sizes)


def check_sizes(manifest: Manifest, sizes: Sequence[int], *, bytes_max: int) -> int:
    """The bytes of all files together, as declared. Raises BadResult unless there is one sane size for each line."""
    if len(sizes) != len(manifest.lines):
        raise BadResult(f"{len(sizes)} sizes for {len(manifest.lines)} files")
    if any(not 0 <= size <= _SIZE_MAX for size in sizes):
        raise BadResult("a size that no file has")
    total = sum(sizes)
    if total > bytes_max:
        raise BadResult(f"results of {total} bytes where at most {bytes_max} were agreed")
    return total


def _sorted(lines: list[Line]) -> Iterable[Line]:
    """By name."""
    runs = [sorted(lines[at : at + _ROWS], key=_NAME) for at in range(0, len(lines), _ROWS)]
    return merge(*runs, key=_NAME) if len(runs) > 1 else chain(*runs)


def _encoded(rows: Iterator[str]) -> Iterator[bytes]:
    while piece := "".join(islice(rows, _ROWS)):
        yield piece.encode()


def _rows(body: bytes) -> Iterator[str]:
    if len(body) > limits.MANIFEST_BYTES_MAX:
        raise BadResult(f"a manifest of {len(body)} bytes, the limit is {limits.MANIFEST_BYTES_MAX}")
    count = end = 0
    while (start := end) < len(body):
        end = body.rfind(b"\n", start, start + _PIECE_BYTES) + 1
        if not end:
            raise BadResult("a manifest that does not end with a whole line, or has one longer than any name")
        rows = _decoded(body[start:end]).split("\n")
        rows.pop()
        count += len(rows)
        if count > limits.RESULT_FILES_MAX:
            raise BadResult(f"a manifest of more than {limits.RESULT_FILES_MAX} files")
        yield from rows


def _decoded(piece: bytes) -> str:
    try:
        return piece.decode()
    except UnicodeDecodeError as error:
        raise BadResult("a manifest that is not valid UTF-8") from error


def _line(row: str) -> Line:
    sha256, name = row[:64], row[66:]
    if not _SHA256.match(sha256) or row[64:66] != "  ":
        raise BadResult(f"not a manifest line: {_quoted(row)}")
    problem = name_problem(name)
    if problem is not None:
        raise BadResult(f"{problem}: {_quoted(name)}")
    return Line(Sha256(sha256), name)


def _checked(manifest: Manifest) -> Manifest:
    """What holds between lines: strictly ascending, no file where a folder is, and not too many folders."""
    names = [line.name for line in manifest.lines]
    for before, name in pairwise(names):
        if before >= name:
            raise BadResult(f"manifest lines out of order, or a name twice: {_quoted(name)}")
    folders = 0
    above: list[str] = []
    # With NUL for "/", which sorts before every character of a name, whatever lies in a folder follows it at once.
    for key in sorted(name.replace("/", "\0") for name in names):
        parts = key.split("\0")
        if parts[: len(above)] == above and above:
            raise BadResult(f"both a file and a folder: {_quoted('/'.join(above))}")
        folders += len(parts) - 1 - _shared(parts[:-1], above[:-1])
        above = parts
    if folders > limits.RESULT_FILES_MAX:
        raise BadResult(f"a manifest of more than {limits.RESULT_FILES_MAX} folders")
    return manifest


def _shared(one: list[str], other: list[str]) -> int:
    """How many parts both begin with."""
    count = 0
    for left, right in zip(one, other, strict=False):
        if left != right:
            break
        count += 1
    return count


def _quoted(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:79] + "…")
