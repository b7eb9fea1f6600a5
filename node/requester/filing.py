"""Result files out of one blob: cut by the sizes that their manifest has, proved line by line, put where they belong.

Does not live here: asking for them (``node.requester.handover``), how far it has come (``node.requester.incoming``).
"""

from __future__ import annotations

from typing import BinaryIO

from node.errors import BadResult
from node.requester.incoming import Incoming


class Filing:
    """The files from the first that is missing to the one before number ``end``. Blocking; to be closed.

    How far it came stands in ``incoming``, after whatever error.
    """

    def __init__(self, incoming: Incoming, end: int) -> None:
        self._incoming = incoming
        self._end = end
        self._file: BinaryIO | None = None

    def take(self, chunk: bytes) -> None:
        """The next bytes; none, for files that have none. Bytes behind the last file are not looked at.

        Raises BadResult at the first file that is not what its line says, NoRoom.
        """
        incoming, rest = self._incoming, memoryview(chunk)
        while incoming.whole < self._end:
            part = rest[: incoming.missing]
            if incoming.missing and not part:
                return
            self._append(part)
            rest = rest[len(part) :]
            if not incoming.missing:
                self._end_file()

    def close(self) -> None:
        """Let go of the file that is not whole."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _append(self, part: memoryview) -> None:
        incoming = self._incoming
        if self._file is None:
            self._file = incoming.intake.file(incoming.name(incoming.line), incoming.offset)
        incoming.intake.append(self._file, part)
        incoming.digest.update(part)
        incoming.offset += len(part)

    def _end_file(self) -> None:
        self.close()
        line, sha256 = self._incoming.line, self._incoming.digest.hexdigest()
        if sha256 != line.sha256:
            self._incoming.restart_file()
            raise BadResult(f"{line.name} is not the file that won")
        self._incoming.next_file()
