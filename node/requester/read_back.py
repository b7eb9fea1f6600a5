"""What a winner says it has published, read and hashed by the requester before anybody hears of it.

Does not live here: reading (``node.publisher``), the manifest that it has to give (``node.requester.handover``).
"""

from __future__ import annotations

from pathlib import Path

from node import limits
from node.ambient import Ambient
from node.errors import BadResult, ExecutionFailed
from node.model import NonePublisher
from node.publisher.base import Publishers
from node.requester.incoming import Incoming
from node.verifier.dirhash import hash_tree
from node.verifier.manifest import Manifest


async def read_back(publishers: Publishers, ambient: Ambient, incoming: Incoming, place: str, location: str) -> None:
    """That what lies at ``location`` is what won, or that nobody keeps it and it lies nowhere.

    ``place`` is where it has to be (``node.publisher.base.below``).

    Raises BadResult (it is something else), StorageError (it cannot be read), NoRoom.
    """
    record, manifest = incoming.record, incoming.manifest
    assert manifest is not None
    if isinstance(record.spec.publisher, NonePublisher):
        if location:
            raise BadResult(f"it says that it published to {location[:200]!r} what nobody was to keep")
        return
    size = sum(incoming.sizes)
    async with publishers.published(record.spec.publisher, place, location, size) as folder:
        await ambient.offload(_check, folder, manifest, size)


def _check(folder: Path, manifest: Manifest, size: int) -> None:
    try:
        found = hash_tree(folder, files_max=limits.RESULT_FILES_MAX, bytes_max=size)
    except ExecutionFailed as error:
        raise BadResult(f"what it published is not what won: {error}") from error
    if found.manifest != manifest:
        raise BadResult("what it published is not what won")
