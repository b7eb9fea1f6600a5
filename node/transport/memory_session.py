"""Sessions of the memory network, and the weather they live in.

Lives here: what stands between two nodes. Does not live here: what happens to it (``memory``).
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from node.model import PeerId
from node.transport.memory_streams import Connection

if TYPE_CHECKING:
    from node.transport.memory import MemoryTransport


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """How bad the weather is. Chances are per message, or per chunk of a blob or stream."""

    delay_s_min: float = 0.001
    delay_s_max: float = 0.020
    breaks: float = 0.0  # the connection breaks and is resumed within ``limits.PEER_REJOIN_S``
    loses: float = 0.0  # the session is lost: both ends hear ``left``
    blob_breaks: float = 0.0  # the blob stream, or the stream of another protocol, ends in the middle


@dataclass(slots=True)
class Way:
    """What travels from one node to another, in order."""

    to: PeerId
    frames: deque[tuple[float, bytes]] = field(default_factory=deque)  # (due, frame)
    flying_bytes: int = 0


class Session:
    """Two nodes that have joined; ``resumes_at`` is in the past while the connection stands."""

    def __init__(self, one: MemoryTransport, other: MemoryTransport) -> None:
        self.ends = (one.local_id, other.local_id)
        self.nodes = {one.local_id: one, other.local_id: other}  # these lives of them, not the next
        self.alive = True
        self.resumes_at = -math.inf
        self.ways = {one.local_id: Way(other.local_id), other.local_id: Way(one.local_id)}
        self.connection = Connection(self.nodes)  # of other protocols' streams; a new one when it is resumed

    def other(self, peer: PeerId) -> PeerId:
        """Who is at the far end."""
        return self.ends[1] if peer == self.ends[0] else self.ends[0]
