"""Results of finished jobs, filed as ``results/<client>/<job name>/<submitted at, UTC>/<job id>/``. Blocking.

A job's results come into being under a temporary name beside that folder and are renamed when complete and synced, so a
folder with its final name is whole; what lies where in it says ``node.receipt.layout``. Names inside were
checked by ``node.verifier.manifest``; every open is relative to the folder and follows no link. Whose results they are
is decided by who asks (``node.api``): the path comes from the record, and the record is the owner's.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import threading
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from node.durable import sync, sync_tree
from node.errors import NoRoom, NotFound, OperatorError
from node.journal.records import JobRecord
from node.model import VaultPublisher
from node.room import need_room

_PARTIAL = ".partial-"
_FOLDERS_ABOVE = 3  # client, job name, time
_ATTEMPTS = 8
_SHARING = threading.Lock()  # Over the folders that jobs share.


class Intake:
    """A job's results on their way in: files whole or in pieces, then ``finish`` or ``abandon``.

    Several threads may fill it at once, each a part of its own, which it may ``settle`` or ``drop``.
    """

    def __init__(self, partial: Path, final: Path) -> None:
        self._partial = partial
        self._final = final
        self._is_final = False
        self._settled: set[str] = set()
        shutil.rmtree(partial, ignore_errors=True)
        _make(partial)

    def need_room(self, size: int) -> None:
        """Raise NoRoom unless so many bytes fit."""
        need_room(self._partial, size)

    def put(self, name: str, content: bytes) -> None:
        """One whole small file. Raises NoRoom."""
        with self.file(name) as file:
            self.append(file, content)

    def file(self, name: str, offset: int = 0) -> BinaryIO:
        """A file to write from ``offset`` on; what lay behind it is cut off. Raises NoRoom."""
        try:
            file = _opened(f"{self._partial}/{name}", offset)
            if offset:
                file.seek(offset)
                file.truncate()
        except OSError as error:
            raise NoRoom(f"the results cannot be kept: {error.strerror}") from error
        return file

    def append(self, file: BinaryIO, chunk: bytes | memoryview) -> None:
        """More of a file that ``file`` opened. Raises NoRoom."""
        view = memoryview(chunk)
        try:
            while view:
                view = view[file.write(view) :]
        except OSError as error:
            raise NoRoom(f"the results cannot be kept: {error.strerror}") from error

    def settle(self, part: str) -> None:
        """Sync a part that is complete, so that little is left to do in the end. Raises NoRoom."""
        folder = self._partial / PurePosixPath(part)
        try:
            sync_tree(folder)
        except OSError as error:
            raise NoRoom(f"the results cannot be kept: {error.strerror}") from error
        self._settled.add(str(folder))

    def drop(self, part: str) -> None:
        """Leave nothing of a part behind."""
        folder = self._partial / PurePosixPath(part)
        self._settled.discard(str(folder))
        shutil.rmtree(folder, ignore_errors=True)

    def finish(self) -> Path:
        """Sync what is not, then give everything its name. Raises NoRoom."""
        try:
            sync_tree(self._partial, self._settled)
            shutil.rmtree(self._final, ignore_errors=True)
            self._partial.rename(self._final)
            self._is_final = True
            sync(self._final.parent)
            sync(self._final.parents[1])
        except OSError as error:
            raise NoRoom(f"the results cannot be kept: {error.strerror}") from error
        return self._final

    def abandon(self) -> None:
        """Leave nothing behind, whether it is finished or not."""
        shutil.rmtree(self._final if self._is_final else self._partial, ignore_errors=True)
        _remove_empty(self._final)


class Results:
    """The folder of all results. Making it raises OperatorError when it cannot be used."""

    def __init__(self, root: Path) -> None:
        self._root = root
        try:
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise OperatorError(f"{root} cannot be used: {error.strerror}") from error

    def need_room(self) -> None:
        """Raise NoRoom when the disk takes no further results."""
        need_room(self._root)

    def sweep(self) -> None:
        """Remove what a crash left half-written; the folders that jobs share, it may have left unsynced.

        Raises OperatorError when the folder cannot be used.
        """
        try:
            for shared in (self._root, *self._root.iterdir()):
                with contextlib.suppress(PermissionError):  # lost+found, say: no client's.
                    sync(shared)
        except OSError as error:
            raise OperatorError(f"{self._root} cannot be used: {error.strerror}") from error
        for left_over in self._root.glob(f"*/*/*/{_PARTIAL}*"):
            shutil.rmtree(left_over, ignore_errors=True)
            _remove_empty(left_over)

    def relative(self, record: JobRecord) -> str:
        """Where the results of a job lie, relative to the root."""
        submitted = datetime.fromtimestamp(record.submitted_at, UTC).strftime("%Y-%m-%dT%H-%M-%S.%fZ")
        return f"{record.client}/{record.spec.name}/{submitted}/{record.job}"

    def intake(self, record: JobRecord) -> Intake:
        """A place for a job's results to come in. Raises NoRoom."""
        final = self._root / self.relative(record)
        need_room(self._root)
        try:
            return Intake(final.with_name(_PARTIAL + final.name), final)
        except OSError as error:
            raise NoRoom(f"the results cannot be kept: {error.strerror}") from error

    def folder(self, record: JobRecord) -> Path:
        """The complete results. Raises NotFound when there are none, or no longer."""
        folder = self._root / self.relative(record)
        publisher = record.spec.publisher
        if record.results is not None and not isinstance(publisher, VaultPublisher):
            raise NotFound(
                "this node does not keep the results of this job: its spec has them published to"
                f" {publisher.__struct_config__.tag}, and `job describe` says where each shard's are"
            )
        if record.results is None or not folder.is_dir():
            raise NotFound("this job has no results here")
        return folder

    def open(self, record: JobRecord, name: str) -> BinaryIO:
        """One result file by its name in the manifest view. Raises NotFound for anything else."""
        parts = PurePosixPath(name).parts
        if not parts or any(part in ("..", "/") for part in parts) or "\0" in name:
            raise NotFound(f"no result file {name!r}")
        with contextlib.ExitStack() as stack:
            try:
                folder = os.open(self.folder(record), os.O_RDONLY | os.O_DIRECTORY)
                stack.callback(os.close, folder)
                for part in parts[:-1]:
                    folder = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
                    stack.callback(os.close, folder)
                file = os.open(parts[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
            except (OSError, UnicodeEncodeError) as error:
                raise NotFound(f"no result file {name!r}") from error
        return _regular(file, name)

    def delete(self, record: JobRecord) -> None:
        """Remove a job's results; the folders above them go when they are empty."""
        folder = self._root / self.relative(record)
        shutil.rmtree(folder, ignore_errors=True)
        _remove_empty(folder)


def _make(folder: Path) -> None:
    """A job's, with the folders above it, also when another thread removes one of those because it is empty.

    Those that jobs share, of the client and of the name, are on the disk before a job relies on them being there.
    """
    for attempt in range(_ATTEMPTS):
        try:
            with _SHARING:
                _make_durable(folder.parents[1])
            folder.parent.mkdir(mode=0o700, exist_ok=True)
            folder.mkdir(mode=0o700)
        except FileNotFoundError:
            if attempt == _ATTEMPTS - 1:
                raise
        else:
            return


def _make_durable(folder: Path) -> None:
    if folder.is_dir():
        return
    _make_durable(folder.parent)
    folder.mkdir(mode=0o700)
    sync(folder.parent)


def _opened(path: str, offset: int) -> BinaryIO:
    """To write; most files lie in a folder that is there."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | (0 if offset else os.O_TRUNC)
    try:
        handle = os.open(path, flags, 0o666)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        handle = os.open(path, flags, 0o666)
    return os.fdopen(handle, "wb", buffering=0)


def _remove_empty(folder: Path) -> None:
    """The folders above a job's that nothing is in any more."""
    for above in list(folder.parents)[:_FOLDERS_ABOVE]:
        try:
            above.rmdir()
        except OSError:
            return


def _regular(file: int, name: str) -> BinaryIO:
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise NotFound(f"no result file {name!r}")
    return os.fdopen(file, "rb")
