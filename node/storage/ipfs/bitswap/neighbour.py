"""What is known of one neighbour that may be asked for blocks. Pure.

Nobody is asked for more at once than makes ``MESSAGES_MAX`` messages of Kubo's, because it sends each on a stream of
its own: the windows of streams do not hold it back, and who opens too many streams is refused some of them.
Does not live here: whom to ask for what (``asking``).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from node import limits
from node.storage.ipfs.bitswap.wire import Want

MESSAGES_MAX = 24
KUBO_MESSAGE_BYTES = 16 * limits.KiB  # boxo, BitswapEngineTargetMessageSize: a message with so many is sent.
_GAP_S_MIN = 0.000_1
_WEIGHT = 0.25  # Of what was seen last, in what is usual.


@dataclass(eq=False, slots=True)
class Neighbour:
    """Its queue, what it owes us, and how it does."""

    under_way: dict[bytes, None] = field(default_factory=dict)  # multihashes of blocks that it was asked for
    outbox: dict[bytes, Want] = field(default_factory=dict)  # what it is to be told, by CID
    credit: int = 0  # wants told, less blocks that came
    gap_s: float = 0.02  # from one block to the next; a guess until it is known
    usual_bytes: float = float(KUBO_MESSAGE_BYTES)  # of a block
    delivered_at: float = float("-inf")  # or asked, when nothing was under way
    asked_at: float = float("-inf")
    failures: int = 0
    tells_have: bool = True  # speaks 1.2.0
    rests: bool = False  # is not to be talked to

    @property
    def room(self) -> int:
        """For how many blocks more it may be asked."""
        most = MESSAGES_MAX * max(1.0, KUBO_MESSAGE_BYTES / self.usual_bytes)
        return max(0, int(most) - len(self.under_way))

    @property
    def load_s(self) -> float:
        """When one block more may be expected, in seconds from now."""
        return (len(self.under_way) + 1) * self.gap_s

    def delivers(self, multihash: bytes, size: int, now: float) -> None:
        """A block has come."""
        if multihash in self.under_way:
            self.gap_s += (max(now - self.delivered_at, _GAP_S_MIN) - self.gap_s) * _WEIGHT
            self.usual_bytes += (max(size, 1) - self.usual_bytes) * _WEIGHT
        self.delivered_at, self.failures = now, 0
