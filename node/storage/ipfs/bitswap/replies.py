"""Answers out of the blockstore: as many blocks as make one message of reasonable size.

Lives here: what one answer holds. Does not live here: who is answered when (``answering``, ``exchange``).
"""

from __future__ import annotations

from node import limits
from node.errors import StorageError
from node.model import PeerId
from node.storage.ipfs.bitswap.answering import Answering
from node.storage.ipfs.bitswap.wire import Block, Message, Presence, Want, multihash_of
from node.storage.ipfs.blockstore import Blockstore

MESSAGE_BYTES = 512 * limits.KiB  # A message is sent when it has so many, which the last block may exceed.
WANTS = 128  # Looked at for one message.


class Replies:
    """The next answer to each peer."""

    def __init__(self, answering: Answering, store: Blockstore) -> None:
        self._answering = answering
        self._store = store

    async def next(self, peer: PeerId) -> Message | None:
        """What to tell a peer now; None when it is owed nothing. May be empty."""
        wants, refused = self._answering.next(peer, WANTS)
        if not wants and not refused:
            return None
        looks = [want for want in wants if want.have_is_enough]
        presences = await self._looked_up(looks)
        asks = [want for want in wants if not want.have_is_enough]
        blocks, lacking = await self._read(asks)
        self._answering.done(peer, (*looks, *asks[: len(blocks) + len(lacking)]), refused)
        denied = [*(want.cid for want in lacking if want.tells_dont_have), *refused]
        return Message(blocks=blocks, presences=(*presences, *(Presence(cid, has=False) for cid in denied)))

    async def _looked_up(self, wants: list[Want]) -> list[Presence]:
        known = {want.cid: multihash_of(want.cid) for want in wants}
        multihashes = [multihash for multihash in known.values() if multihash is not None]
        absent = {None, *(await self._store.absent(multihashes) if multihashes else ())}
        answers = [(want, known[want.cid] not in absent) for want in wants]
        return [Presence(want.cid, has) for want, has in answers if has or want.tells_dont_have]

    async def _read(self, wants: list[Want]) -> tuple[tuple[Block, ...], list[Want]]:
        """Blocks of the first of these wants, and those of them that are not here."""
        if not wants:
            return (), []
        multihashes = [multihash_of(want.cid) for want in wants]
        try:
            found = await self._store.get_some(multihashes, MESSAGE_BYTES)
        except StorageError:
            return (), wants
        blocks = [
            Block(want.cid[:-32] if len(want.cid) > 34 else b"\0\x70" + want.cid[:-32], block)
            for want, block in zip(wants, found, strict=False)
            if block is not None
        ]
        return tuple(blocks), [want for want, block in zip(wants, found, strict=False) if block is None]
