"""Results on IPFS: a winner adds and pins them, with the Kubo daemon or the embedded exchange that it has.

Reading back is what it is for inputs too: every block is checked against its CID, under the limits of the input cache.
Does not live here: the exchange and its pins (``node.storage.ipfs``), hashing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from node.errors import BadResult
from node.limits import MiB
from node.model import CidInput, IpfsPublisher, PeerId
from node.storage.base import Storage
from node.storage.ipfs.base import Blocks
from node.storage.ipfs.cid import Cid

SCHEME = "ipfs://"

_AROUND_BYTES = 64 * MiB  # What names and blocks of a folder may add to the bytes of its files, at most.


class IpfsPublishing:
    """Publishing through ``blocks``, reading back through ``inputs``, as the node that ``local_id`` names."""

    name = "ipfs"

    def __init__(self, blocks: Blocks, inputs: Storage[CidInput], local_id: PeerId) -> None:
        self._blocks = blocks
        self._inputs = inputs
        self._local_id = local_id

    def refusal(self, where: IpfsPublisher) -> str | None:
        """See Publishing: every node has IPFS."""
        return None

    async def publish(self, where: IpfsPublisher, below: str, results: Path) -> str:
        """See Publishing. The pin has the name of this publication: others may have published the same bytes."""
        return f"{SCHEME}{await self._blocks.add(results, below)}"

    async def retract(self, where: IpfsPublisher, below: str) -> None:
        """See Publishing. A Kubo daemon goes on to pin it: its operator's pins cannot be told from ours."""
        await self._blocks.unpin(below)

    @asynccontextmanager
    async def published(self, where: IpfsPublisher, below: str, location: str, bytes_max: int) -> AsyncIterator[Path]:
        """See Publishing."""
        ref = CidInput(cid=str(_cid(location)), path="/results")
        claimed = await self._inputs.size(ref)
        if claimed > bytes_max + _AROUND_BYTES:
            raise BadResult(f"{location} claims to have {claimed} bytes where results of {bytes_max} won")
        async with self._inputs.prepared(ref, self._local_id) as found:
            yield found.path


def _cid(location: str) -> Cid:
    if not location.startswith(SCHEME):
        raise BadResult(f"it says that it published to {location[:200]!r}, which is no {SCHEME} location")
    try:
        return Cid.parse(location.removeprefix(SCHEME))
    except ValueError as error:
        raise BadResult(f"it says that it published to {location[:200]!r}: {error}") from error
