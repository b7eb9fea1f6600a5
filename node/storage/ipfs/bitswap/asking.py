"""The asking side of bitswap: who is asked for what, and what may come from whom. Pure; time is an argument.

A circle is what one reader wants, of one DAG. Who delivered for a circle, or says that it has a block of it, is a
holder of it and is asked, whoever of them may be expected to deliver first; when none of them has a block, everybody
else is asked whether they have it. Wants are kept by multihash, since that is what a block proves.

Lives here: the decisions. Does not live here: streams, blocks on disk, waiting (``exchange``, ``session``).
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass, field

from node import limits
from node.errors import MalformedMessage
from node.model import PeerId
from node.storage.ipfs.bitswap.wire import Block, Message, Want
from node.storage.ipfs.cid import Cid

WANTS_PER_MESSAGE = 512
PATIENCE_S = 5.0  # Who sends nothing of what it was asked for this long is passed over.
OVERDUE_S = 20.0  # A block that does not come for this long is asked of somebody else, whatever else came.
LAST_RESORT_S = 1.0  # When nobody is known to have a block for this long, those who cannot say so are asked for it.
REPEAT_S = 10.0  # When nobody has a block for this long, everybody is asked again.
FAILURES_MAX = 3  # Who lets us down so often without a block between is no holder any more.
STRIKES_MAX = 3  # One block more that nobody asked for, and the peer is not asked any more.
BANNED_S = 600.0
GREETED_WITH_MAX = 64  # Wants that a newcomer is asked about at once.
GAP_S_MIN = 0.000_1
_GAP_WEIGHT = 0.25
_REMEMBERED_MAX = 16_384  # Multihashes of blocks that may still come though nobody wants them any more.
_BANNED_MAX = 1_024
_SHA2_256 = b"\x12\x20"


@dataclass(eq=False, slots=True)
class _Peer:
    under_way: dict[bytes, None] = field(default_factory=dict)  # multihashes of blocks that it was asked for
    outbox: dict[bytes, Want] = field(default_factory=dict)  # what it is to be told, by CID
    credit: int = 0  # wants told, less blocks that came
    gap_s: float = 0.02  # from one block to the next; a guess until it is known
    delivered_at: float = float("-inf")  # or asked, when nothing was under way
    asked_at: float = float("-inf")
    failures: int = 0
    strikes: int = 0
    tells_have: bool = True  # speaks 1.2.0
    rests: bool = False  # is not to be talked to


@dataclass(eq=False, slots=True)
class _Want:
    cid: bytes
    since: float
    circles: set[int] = field(default_factory=set)
    asked: PeerId | None = None
    asked_at: float = 0.0
    told: dict[PeerId, None] = field(default_factory=dict)
    lacking: set[PeerId] = field(default_factory=set)


class Asking:
    """All wants of this node. What is to be said to a peer waits until ``take``; ``talkative`` says to whom."""

    def __init__(self) -> None:
        self._peers: dict[PeerId, _Peer] = {}
        self._wants: dict[bytes, _Want] = {}
        self._holders: dict[int, dict[PeerId, None]] = {}  # by circle
        self._only_looks: set[int] = set()
        self._past: OrderedDict[bytes, None] = OrderedDict()
        self._banned: OrderedDict[PeerId, float] = OrderedDict()
        self.talkative: dict[PeerId, None] = {}
        self.duplicates = 0
        self.unwanted = 0

    def came(self, peer: PeerId, now: float) -> None:
        """A neighbour; it is asked about what is open."""
        known = self._peers.setdefault(peer, _Peer(rests=True))
        if not known.rests or self._banned.get(peer, now) > now:
            return
        known.rests = False
        for want in list(self._wants.values())[:GREETED_WITH_MAX]:
            self._poll(peer, want)

    def went(self, peer: PeerId, now: float) -> None:
        """It is no neighbour any more: others are asked for what it was to send."""
        gone = self._peers.pop(peer, None)
        self.talkative.pop(peer, None)
        for holders in self._holders.values():
            holders.pop(peer, None)
        for want in self._wants.values() if gone else ():
            want.told.pop(peer, None)
            want.lacking.discard(peer)
        for multihash in gone.under_way if gone else ():
            self._wants[multihash].asked = None
            self._pursue(multihash, now)

    def rests(self, peer: PeerId, now: float) -> None:
        """It speaks no bitswap, or a stream to it broke: it is left alone until it ``came`` again."""
        known = self._peers.get(peer)
        if known is not None:
            self.went(peer, now)
            self._peers[peer] = _Peer(credit=known.credit, strikes=known.strikes, rests=True)

    def cannot_tell(self, peer: PeerId) -> None:
        """It turns out that this peer cannot say whether it has a block: it speaks a version before 1.2.0."""
        if peer in self._peers:
            self._peers[peer].tells_have = False

    def begin(self, circle: int, *, only_looks: bool = False) -> None:
        """A new circle. ``only_looks``: who has a block of it is of interest, not the block."""
        self._holders[circle] = {}
        if only_looks:
            self._only_looks.add(circle)

    def end(self, circle: int) -> None:
        """Nobody wants anything of it any more."""
        for multihash in [multihash for multihash, want in self._wants.items() if circle in want.circles]:
            want = self._wants[multihash]
            want.circles.discard(circle)
            if not want.circles:
                self._settle(multihash, want)
        del self._holders[circle]
        self._only_looks.discard(circle)

    def open(self, circle: int, cid: Cid, now: float) -> None:
        """A block is wanted, until it comes or the circle ends."""
        want = self._wants.setdefault(cid.multihash, _Want(cid.raw, now))
        want.circles.add(circle)
        if want.asked is None:
            self._pursue(cid.multihash, now)

    def asked(self, circle: int) -> int:
        """How many peers were asked for something of a circle."""
        told = {peer for want in self._wants.values() if circle in want.circles for peer in want.told}
        return len(told | self._holders[circle].keys())

    def has_holder(self, circle: int) -> bool:
        """Whether somebody has a block of it."""
        return bool(self._holders[circle])

    def is_hopeless(self, multihash: bytes) -> bool:
        """Whether all neighbours, if there are any, say that they do not have an open block."""
        want = self._wants.get(multihash)
        return want is not None and all(peer in want.lacking or known.rests for peer, known in self._peers.items())

    def is_asked(self, peer: PeerId, now: float) -> bool:
        """Whether this peer may send more than wants: it was asked for a block not long ago."""
        known = self._peers.get(peer)
        return known is not None and now - max(known.asked_at, known.delivered_at) < limits.BITSWAP_STALL_S

    def take(self, peer: PeerId) -> tuple[Want, ...]:
        """What to tell a peer now; empty when there is nothing."""
        known = self._peers.get(peer)
        if known is None:
            return ()
        taken = list(known.outbox.items())[:WANTS_PER_MESSAGE]
        for cid, want in taken:
            del known.outbox[cid]
            known.credit += not want.cancels
        if not known.outbox:
            self.talkative.pop(peer, None)
        return tuple(want for _, want in taken)

    def hear(self, peer: PeerId, message: Message, now: float) -> list[tuple[bytes, bytes, frozenset[int]]]:
        """What a peer's message gives: blocks that are wanted, each with its multihash and the circles that want it.

        Raises MalformedMessage for a peer that sends too much of what nobody asked for.
        """
        came = [found for block in message.blocks if (found := self._came(peer, block, now)) is not None]
        for presence in message.presences:
            self._presence(peer, multihash_of(presence.cid), has=presence.has, now=now)
        return came

    def tick(self, now: float) -> None:
        """Time has passed: who keeps us waiting is passed over."""
        for multihash, want in list(self._wants.items()):
            if want.asked is not None and self._is_tardy(want, now):
                self._pass_over(multihash, want, now)
            elif want.asked is None and now - want.since > REPEAT_S:
                want.since = now
                want.lacking.clear()
                want.told.clear()
                self._pursue(multihash, now)
            elif want.asked is None and now - want.since > LAST_RESORT_S:
                self._pursue(multihash, now, last_resort=True)

    def _came(self, peer: PeerId, block: Block, now: float) -> tuple[bytes, bytes, frozenset[int]] | None:
        known = self._peers.get(peer)
        if known is None or self._banned.get(peer, now) > now or not _is_ours(block):
            self._strike(peer, known, now)
            return None
        known.credit -= 1
        multihash = _SHA2_256 + hashlib.sha256(block.data).digest()
        want = self._wants.get(multihash)
        if want is not None:
            if multihash in known.under_way:
                known.gap_s += (max(now - known.delivered_at, GAP_S_MIN) - known.gap_s) * _GAP_WEIGHT
            known.delivered_at, known.failures = now, 0
            for circle in want.circles:
                self._holders[circle][peer] = None
            self._settle(multihash, want, but=peer)
            return multihash, block.data, frozenset(want.circles)
        if multihash in self._past and known.credit >= 0:
            self.duplicates += 1
        else:
            self._strike(peer, known, now)
        return None

    def _strike(self, peer: PeerId, known: _Peer | None, now: float) -> None:
        self.unwanted += 1
        if known is None:
            return
        known.strikes += 1
        if known.strikes > STRIKES_MAX:
            self._banned[peer] = now + BANNED_S
            self._banned.move_to_end(peer)
            while len(self._banned) > _BANNED_MAX:
                self._banned.popitem(last=False)
            self.rests(peer, now)
            raise MalformedMessage("it sends blocks that nobody asked for")

    def _presence(self, peer: PeerId, multihash: bytes | None, *, has: bool, now: float) -> None:
        want = None if multihash is None else self._wants.get(multihash)
        if want is None or multihash is None or peer not in want.told:
            return
        if has:
            want.lacking.discard(peer)
            for circle in want.circles:
                self._holders[circle][peer] = None
        else:
            want.lacking.add(peer)
            self._release(multihash, want, peer)
        if want.asked is None:
            self._pursue(multihash, now)

    def _pursue(self, multihash: bytes, now: float, *, last_resort: bool = False) -> None:
        """Ask the best holder for a block; while there is none, ask everybody else whether they have it."""
        want = self._wants[multihash]
        able = [] if want.circles <= self._only_looks else self._able(want, last_resort)
        if able:
            self._ask(min(able, key=self._load), multihash, want, now)
        else:
            for peer in self._peers:
                self._poll(peer, want)

    def _able(self, want: _Want, last_resort: bool) -> list[PeerId]:
        """Holders that have not let us down over this block; in the last resort, who cannot say whether they are."""
        holders = {peer: None for circle in want.circles for peer in self._holders[circle] if peer not in want.lacking}
        if holders or not last_resort:
            return list(holders)
        mute = [peer for peer, known in self._peers.items() if not (known.tells_have or known.rests)]
        return [peer for peer in mute if peer not in want.lacking]

    def _load(self, peer: PeerId) -> float:
        """When a peer may be expected to deliver one block more, in seconds from now."""
        known = self._peers[peer]
        return (len(known.under_way) + 1) * known.gap_s

    def _poll(self, peer: PeerId, want: _Want) -> None:
        known = self._peers[peer]
        if peer not in want.told and known.tells_have and not known.rests:
            want.told[peer] = None
            self._tell(peer, Want(want.cid, have_is_enough=True, tells_dont_have=True))

    def _ask(self, peer: PeerId, multihash: bytes, want: _Want, now: float) -> None:
        known = self._peers[peer]
        if not known.under_way:
            known.delivered_at = max(known.delivered_at, now)
        want.asked, want.asked_at = peer, now
        want.told[peer] = None
        known.asked_at = now
        known.under_way[multihash] = None
        self._tell(peer, Want(want.cid, tells_dont_have=True))

    def _tell(self, peer: PeerId, want: Want) -> None:
        self._peers[peer].outbox[want.cid] = want
        self.talkative[peer] = None

    def _is_tardy(self, want: _Want, now: float) -> bool:
        assert want.asked is not None
        silent_s = now - max(want.asked_at, self._peers[want.asked].delivered_at)
        return silent_s > PATIENCE_S or now - want.asked_at > OVERDUE_S

    def _pass_over(self, multihash: bytes, want: _Want, now: float) -> None:
        peer = want.asked
        assert peer is not None
        known = self._peers[peer]
        known.failures += 1
        if known.failures >= FAILURES_MAX:
            for holders in self._holders.values():
                holders.pop(peer, None)
        want.lacking.add(peer)
        want.since = now
        self._release(multihash, want, peer)
        self._cancel(peer, want.cid)
        self._pursue(multihash, now)

    def _release(self, multihash: bytes, want: _Want, peer: PeerId) -> None:
        if want.asked == peer:
            want.asked = None
            self._peers[peer].under_way.pop(multihash, None)

    def _settle(self, multihash: bytes, want: _Want, but: PeerId | None = None) -> None:
        """The block has come, or nobody wants it any more: everybody who was told hears so, but who sent it."""
        if want.asked is not None:
            self._peers[want.asked].under_way.pop(multihash, None)
        for peer in want.told:
            if peer != but:
                self._cancel(peer, want.cid)
        del self._wants[multihash]
        self._past[multihash] = None
        while len(self._past) > _REMEMBERED_MAX:
            self._past.popitem(last=False)

    def _cancel(self, peer: PeerId, cid: bytes) -> None:
        known = self._peers.get(peer)
        if known is not None and known.outbox.pop(cid, None) is None:
            self._tell(peer, Want(cid, 0, cancels=True))


def multihash_of(cid: bytes) -> bytes | None:
    """The sha2-256 multihash in a binary CID of any codec; None for every other kind of CID."""
    tail = cid[-34:]
    if len(tail) < 34 or not tail.startswith(_SHA2_256):
        return None
    return tail if len(cid) == 34 or cid[0] == 1 else None


def _is_ours(block: Block) -> bool:
    """Whether this can be a block that we asked for: by its size, and by the hash that its prefix names."""
    return len(block.data) <= limits.BLOCK_BYTES_MAX and (not block.prefix or block.prefix.endswith(_SHA2_256))
