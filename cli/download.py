"""A job's results and receipt to a folder of the caller's: every byte checked, nothing half-done at its final name.

The files come to a partial folder beside the final one, which is renamed when all of them are there. It is named after
what won the vote, so that a download that broke off goes on where it stopped. Names were checked before anything is
written (``node.verifier.manifest``), and the partial folder is made by us alone, so nothing is written outside of it.

Lives here: the folder. Does not live here: connections (``cli.client``), what a receipt proves
(``node.receipt.check``).
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from cli.client import PIECE_BYTES, Client
from cli.combined import build
from cli.errors import BrokenAnswer, CommandError, Refused, Unreachable, UsageProblem
from cli.following import RETRY_S
from cli.joined import received, runs
from cli.output import program, short_job
from cli.progress import Progress
from cli.quantities import shown_size
from node.api.views import FileView, JobView, ManifestView
from node.errors import BadResult
from node.model import PeerId
from node.receipt.check import Broken, check
from node.receipt.files import Manifests, parted
from node.verifier.manifest import check_sizes, voted

BYTES_MAX = 2**62


@dataclass(frozen=True, slots=True)
class Downloaded:
    """What lies where now."""

    folder: Path
    receipt: Path
    hash: str
    files: int
    bytes: int
    differing: int  # files of several shards that share a name and are not the same


def receipt_path(folder: Path) -> Path:
    """Beside the folder, so that the folder has the hash that won."""
    return folder.with_name(f"{folder.name}.receipt.json")


def check_target(folder: Path, *, force: bool) -> None:
    """Raises UsageProblem unless results may be put there; with ``force`` they may replace earlier ones."""
    if not folder.name or folder.name == "..":
        raise UsageProblem(f"{folder}: results go into a folder of their own", "name a new one with --output-dir")
    if not folder.is_symlink() and not folder.exists():
        return
    if folder.is_symlink() or not folder.is_dir():
        raise UsageProblem(f"{folder} is not a folder", "name another with --output-dir")
    if not any(folder.iterdir()):
        return
    if not force:
        raise UsageProblem(f"{folder} is not empty", "name another with --output-dir, or replace it with --force")
    if not receipt_path(folder).is_file():
        raise UsageProblem(
            f"{folder} has no {receipt_path(folder).name} beside it: --force replaces results and nothing else",
            "move it away, or name another with --output-dir",
        )


def download(
    client: Client,
    job: JobView,
    folder: Path,
    told: Callable[[str], None],
    pauses_s: Sequence[float] = RETRY_S,
) -> Downloaded:
    """Fetch, check, and put in place. ``told`` hears of what went wrong and is tried again.

    Raises BrokenAnswer (not what won), CommandError (no room here), Unreachable, and what ``Client`` raises.
    """
    view = client.manifest(job.id)
    manifests, total = _checked(job, view)
    receipt = client.receipt(job.id)
    check_receipt(client, job, receipt, view.hash)
    partial = _partial(folder, view.hash)
    try:
        _check_room(partial, total)
        progress = Progress(len(view.files), total, told)
        _fetch_all(_Source(client, job.id, told, pauses_s, progress), partial, view.files)
        differing = build(manifests, partial) if job.shards > 1 else 0
        _put_in_place(partial, folder, receipt)
    except OSError as error:
        raise CommandError(
            f"the results cannot be written: {error.strerror or error}: {error.filename or folder}",
            "make room or name another --output-dir; what has come is kept, and the same command goes on from there",
        ) from error
    return Downloaded(folder, receipt_path(folder), view.hash, len(view.files), total, differing)


def _checked(job: JobView, view: ManifestView) -> tuple[Manifests, int]:
    """The files of each shard, with harmless names and the hash that the job ended with; and all their bytes."""
    try:
        manifests, whole = parted(((file.name, file.sha256) for file in view.files), job.shards)
        total = check_sizes(whole, [file.size for file in view.files], bytes_max=BYTES_MAX)
    except BadResult as error:
        raise BrokenAnswer(f"the node's list of results must not be used: {error}", "tell its operator") from error
    if [line.path for line in whole.lines] != [file.name for file in view.files]:
        raise BrokenAnswer("the node's list of results must not be used: it has names that are none")
    if job.results is None or not whole.h1() == view.hash == job.results.hash:
        said = job.results.hash if job.results else "no results"
        raise BrokenAnswer(f"the list of results has the hash {whole.h1()}, the job ended with {said}")
    for shard in job.details:
        kept = None if shard.results is None else shard.results.hash
        found = voted(manifests[shard.shard], job.spec.vote_on).h1() if shard.shard in manifests else None
        if found != kept or (kept and (shard.verdict is None or shard.verdict.hash != kept)):
            raise BrokenAnswer("the results are not those that won the vote")
    return manifests, total


def check_receipt(client: Client, job: JobView, receipt: bytes, h1: str | None) -> None:
    """Raises BrokenAnswer unless it is the node's own, of this job, and holds; and of the results with this hash, where
    the node has any (``h1`` None: it has not, they were deleted).
    """
    checked = check(receipt, requester=PeerId(client.peer_id()))
    if isinstance(checked, Broken):
        raise BrokenAnswer(f"the receipt does not hold: {checked.why}", "tell the node's operator")
    if checked.predicate.job != job.id or h1 not in (None, checked.predicate.manifest):
        raise BrokenAnswer("the receipt is of another job or of other results", "tell the node's operator")


def _partial(folder: Path, h1: str) -> Path:
    """The folder to download into: a new one, or one of ours from before."""
    name = f".{folder.name}.{hashlib.sha256(h1.encode()).hexdigest()[:16]}.partial"
    path = folder.with_name(name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o700)
    except FileExistsError:
        if not _is_ours(path):
            raise CommandError(f"{path} is in the way", "move it away") from None
    except OSError as error:
        raise CommandError(
            f"results cannot be put into {folder.parent}: {error.strerror}", "name another place with --output-dir"
        ) from error
    return path


def _is_ours(path: Path) -> bool:
    """And nobody else may write to it."""
    status = path.lstat()
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & 0o022


def _check_room(partial: Path, total: int) -> None:
    free = shutil.disk_usage(partial).free
    there = sum(path.lstat().st_size for path in partial.rglob("*"))
    if total > free + there:
        raise CommandError(
            f"the results have {shown_size(total)}, and {partial.parent} has room for {shown_size(free)}",
            "make room, or name another --output-dir",
        )


@dataclass(frozen=True, slots=True)
class _Source:
    """Where files come from, and how a broken connection is met."""

    client: Client
    job: str
    told: Callable[[str], None]
    pauses_s: Sequence[float]
    progress: Progress


def _fetch_all(source: _Source, partial: Path, files: Sequence[FileView]) -> None:
    """Many small ones together; what does not come so, comes alone."""
    there: set[str] = set()
    try:
        for file in _together(source, partial, files):
            there.add(file.name)
            source.progress.came(files=1, size=file.size)
    except Unreachable as error:
        source.told(f"{error}; going on file by file")
    except Refused as error:
        if error.code != "no_such_route":  # An older node has none.
            raise
    for file in files:
        if file.name not in there:
            _File(source, partial, file).fetch()
            source.progress.came(files=1)


def _together(source: _Source, partial: Path, files: Sequence[FileView]) -> Iterator[FileView]:
    for run in runs(files, partial):
        with source.client.joined(source.job, run.start, len(run)) as pieces:
            yield from received(pieces, files[run.start : run.stop], partial)


class _File:
    """One file on its way."""

    def __init__(self, source: _Source, partial: Path, file: FileView) -> None:
        self._source = source
        self._file = file
        self._path = partial / file.name
        self._digest = hashlib.sha256()
        self._size = 0

    def fetch(self) -> None:
        """Until it is there and is the right one, or an error says why not."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with os.fdopen(os.open(self._path, flags, 0o600), "r+b", buffering=0) as out:
            self._take_up(out)
            failures, furthest = 0, self._size
            while self._size < self._file.size:
                try:
                    self._receive(out)
                except Unreachable as error:
                    failures = 1 if self._size > furthest else failures + 1
                    furthest = max(furthest, self._size)
                    self._pause(failures, error)
        if self._digest.hexdigest() != self._file.sha256:
            self._spoilt("is not the one that won (its sha256 differs)")

    def _take_up(self, out: BinaryIO) -> None:
        """What came before, if anything did; more than there should be is none of it."""
        while piece := out.read(PIECE_BYTES):
            self._digest.update(piece)
            self._size += len(piece)
        if self._size > self._file.size or (
            self._size == self._file.size and self._digest.hexdigest() != self._file.sha256
        ):
            self._begin_again(out)

    def _receive(self, out: BinaryIO) -> None:
        with self._source.client.file(self._source.job, self._file.name, self._file.sha256, self._size) as (
            begins,
            pieces,
        ):
            if begins != self._size:
                self._begin_again(out)
            for piece in pieces:
                self._size += len(piece)
                if self._size > self._file.size:
                    self._spoilt(f"is longer than the {self._file.size} bytes that it should have")
                self._digest.update(piece)
                _write(out, piece)
                self._source.progress.came(size=len(piece))
        if self._size < self._file.size:
            self._spoilt(f"ended after {self._size} of {self._file.size} bytes")

    def _begin_again(self, out: BinaryIO) -> None:
        out.seek(0)
        out.truncate()
        self._digest, self._size = hashlib.sha256(), 0

    def _pause(self, failures: int, error: Unreachable) -> None:
        if failures > len(self._source.pauses_s):
            raise Unreachable(
                f"{error}; {self._file.name!r} came as far as byte {self._size} of {self._file.size}",
                f"what has come is kept: `{program()} job get {short_job(self._source.job)}` goes on from there",
            ) from error
        self._source.told(f"{error}; going on at byte {self._size} of {self._file.name!r}")
        time.sleep(self._source.pauses_s[failures - 1])

    def _spoilt(self, what: str) -> None:
        self._path.unlink(missing_ok=True)
        raise BrokenAnswer(
            f"the result file {self._file.name!r} {what}", "nothing of it is kept; try again, or tell the operator"
        )


def _write(out: BinaryIO, piece: bytes) -> None:
    view = memoryview(piece)
    while view:
        view = view[out.write(view) :]


def _put_in_place(partial: Path, folder: Path, receipt: bytes) -> None:
    """The receipt first: whoever sees the folder finds it complete and the receipt beside it."""
    fresh = receipt_path(partial)
    fresh.write_bytes(receipt)
    fresh.replace(receipt_path(folder))
    partial.chmod(0o777 & ~_umask())
    old = None
    if folder.is_dir() and any(folder.iterdir()):
        old = folder.with_name(f".{folder.name}.{os.getpid()}.old")
        folder.rename(old)
    partial.rename(folder)
    if old is not None:
        shutil.rmtree(old)


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
