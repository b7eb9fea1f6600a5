"""What a winner says it has published, read and hashed by the requester before anybody hears of it.

Does not live here: reading (``node.publisher``), the manifest that it has to give (``node.requester.handover``).
"""

from __future__ import annotations

import re
from pathlib import Path

from node import limits
from node.ambient import Ambient
from node.errors import BadResult, ExecutionFailed
from node.model import EXIT_CODE, NonePublisher
from node.publisher.base import Publishers, below
from node.requester.incoming import Incoming
from node.verifier.dirhash import hash_tree
from node.verifier.manifest import Manifest

_EXIT_CODE = re.compile(rb"(?:0|[1-9][0-9]{0,2})")
_PEEK_BYTES = 64


async def read_back(publishers: Publishers, ambient: Ambient, incoming: Incoming, location: str) -> int | None:
    """The exit code in what lies at ``location``, which is what won; None when nobody keeps it, or it has none.

    Raises BadResult (it is something else), StorageError (it cannot be read), NoRoom.
    """
    record, manifest = incoming.record, incoming.manifest
    assert manifest is not None
    if isinstance(record.spec.publisher, NonePublisher):
        return None
    place, size = below(record.job, incoming.shard), sum(incoming.sizes)
    async with publishers.published(record.spec.publisher, place, location, size) as folder:
        return await ambient.offload(_checked, folder, manifest, size)


def exit_code_in(text: bytes) -> int | None:
    """What the file says, if it says what an exit code can be; a peer wrote it."""
    return int(text) if _EXIT_CODE.fullmatch(text) and int(text) <= 255 else None


def _checked(folder: Path, manifest: Manifest, size: int) -> int | None:
    try:
        found = hash_tree(folder, files_max=limits.RESULT_FILES_MAX, bytes_max=size)
    except ExecutionFailed as error:
        raise BadResult(f"what it published is not what won: {error}") from error
    if found.manifest != manifest:
        raise BadResult("what it published is not what won")
    try:
        with (folder / EXIT_CODE).open("rb") as file:
            return exit_code_in(file.read(_PEEK_BYTES))
    except OSError:
        return None
