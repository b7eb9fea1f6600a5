"""Publications that count for nobody: a small file for each, there before its first byte is put anywhere.

It is deleted before anybody is told where the results are. So one that a start finds belongs to a publication that was
cut off, or that its requester wanted back and that could not be taken back then; never to one that a receipt may name.
Blocking. Does not live here: publishing and taking back (``node.publisher.base``), when (``node.compute.publish``).
"""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from node import limits
from node.errors import NoRoom, OperatorError
from node.model import ExecutionId, Hex32, JobId, PeerId, PeerName, Publisher
from node.publisher.base import below

log = logging.getLogger("quorate.publisher")

_SUFFIX = ".json"
_FILE_BYTES_MAX = 64 * limits.KiB


class Publication(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Results on their way to where their job says; also what its file has."""

    where: Publisher
    requester: PeerName
    job: Hex32
    shard: Annotated[int, msgspec.Meta(ge=0)]
    execution: Hex32
    version: Literal[1] = 1

    @property
    def below(self) -> str:
        """See ``node.publisher.base.below``."""
        return below(PeerId(self.requester), JobId(self.job), self.shard, ExecutionId(self.execution))

    @property
    def file(self) -> str:
        """One for each place."""
        return self.below.replace("/", "-") + _SUFFIX


class Untold:
    """One folder of them. ``left_over`` comes first."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def left_over(self) -> tuple[Publication, ...]:
        """Make the folder, and say what a process before this one left. Raises OperatorError."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.forget_oldest()
            found = [_read(path) for path in sorted(self._folder.iterdir())]
        except OSError as error:
            raise OperatorError(f"{self._folder} cannot be used: {error.strerror}") from error
        return tuple(publication for publication in found if publication is not None)

    def note(self, publication: Publication) -> None:
        """Durable when it returns; noted already: nothing. Raises NoRoom."""
        path = self._folder / publication.file
        try:
            with path.open("xb", buffering=0) as file:
                file.write(msgspec.json.encode(publication))
                os.fsync(file.fileno())
            _sync(self._folder)
        except FileExistsError:
            return
        except OSError as error:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
            raise NoRoom(f"no note can be made of a publication: {error.strerror}") from error

    def forget(self, publication: Publication) -> None:
        """It counts, or nothing is left of it. Durable when it returns. Raises NoRoom."""
        try:
            (self._folder / publication.file).unlink(missing_ok=True)
            _sync(self._folder)
        except OSError as error:
            raise NoRoom(f"the note of a publication cannot be deleted: {error.strerror}") from error

    def forget_oldest(self) -> None:
        """Beyond UNTOLD_MAX. Raises OSError."""
        paths = list(self._folder.iterdir())
        if len(paths) <= limits.UNTOLD_MAX:
            return
        for path in sorted(paths, key=lambda path: path.lstat().st_mtime)[: -limits.UNTOLD_MAX]:
            log.warning("left_behind", extra={"publication": path.name, "reason": "too many are to be taken back"})
            path.unlink(missing_ok=True)


def _read(path: Path) -> Publication | None:
    """None, and the file is gone, when it is none: a kill while it was written, before anything was published."""
    try:
        with path.open("rb") as file:
            publication = msgspec.json.decode(file.read(_FILE_BYTES_MAX), type=Publication)
        if publication.file == path.name:
            return publication
        problem = "it is of another publication than its name says"
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        problem = str(error)
    log.warning("publication_unknown", extra={"file": path.name, "reason": problem})
    path.unlink()
    return None


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
