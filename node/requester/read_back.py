"""What a winner says it has published, read and hashed by the requester before anybody hears of it.

Does not live here: reading (``node.publisher``), the manifest that it has to give (``node.requester.handover``).
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from node import limits
from node.ambient import Ambient
from node.errors import BadResult, ExecutionFailed
from node.model import EXIT_CODE, NonePublisher
from node.publisher.base import Publishers
from node.requester.incoming import Incoming
from node.verifier.dirhash import hash_tree
from node.verifier.manifest import PREFIX, Manifest

_EXIT_CODES = {hashlib.sha256(str(code).encode()).hexdigest(): code for code in range(256)}


async def read_back(
    publishers: Publishers, ambient: Ambient, incoming: Incoming, place: str, location: str
) -> int | None:
    """The exit code in what lies at ``location``, which is what won, or that nobody keeps; None when it has none.

    ``place`` is where it has to be (``node.publisher.base.below``).

    Raises BadResult (it is something else), StorageError (it cannot be read), NoRoom.
    """
    record, manifest = incoming.record, incoming.manifest
    assert manifest is not None
    if isinstance(record.spec.publisher, NonePublisher):
        if location:
            raise BadResult(f"it says that it published to {location[:200]!r} what nobody was to keep")
        return exit_code_of(manifest)
    size = sum(incoming.sizes)
    async with publishers.published(record.spec.publisher, place, location, size) as folder:
        return await ambient.offload(_checked, folder, manifest, size)


def exit_code_of(manifest: Manifest) -> int | None:
    """By the hash of its file, if that says what an exit code can be: the file may be a peer's, and may change."""
    name = f"{PREFIX}/{EXIT_CODE}"
    return next((_EXIT_CODES.get(line.sha256) for line in manifest.lines if line.name == name), None)


def _checked(folder: Path, manifest: Manifest, size: int) -> int | None:
    try:
        found = hash_tree(folder, files_max=limits.RESULT_FILES_MAX, bytes_max=size)
    except ExecutionFailed as error:
        raise BadResult(f"what it published is not what won: {error}") from error
    if found.manifest != manifest:
        raise BadResult("what it published is not what won")
    return exit_code_of(manifest)
