"""The asking side of bitswap: who is asked for what. Pure; time is an argument.

A circle is what one reader wants, of one DAG. Who delivered for a circle, or says that it has a block of it, is a
holder of it and is asked, whoever of them may be expected to deliver first; when none of them has a block, everybody
else is asked whether they have it. Wants are kept by multihash, since that is what a block proves.

Lives here: the decisions. Does not live here: streams, blocks on disk, waiting (``exchange``, ``session``), what is
known of a neighbour (``neighbour``) and held against it (``blame``).
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass, field

from node import limits
from node.model import PeerId
from node.storage.ipfs.bitswap.blame import Blame
from node.storage.ipfs.bitswap.neighbour import Neighbour
from node.storage.ipfs.bitswap.wire import Block, Message, Want, can_be_asked_for, multihash_of
from node.storage.ipfs.cid import SHA2_256_HEAD, Cid

WANTS_PER_MESSAGE = 512
PATIENCE_S = 5.0  # Who sends nothing of what it was asked for this long is passed over.
OVERDUE_S = 20.0  # A block that does not come for this long is asked of somebody else, whatever else came.
LAST_RESORT_S = 1.0  # When nobody is known to have a block for this long, those who cannot say so are asked for it.
RETRY_S = 2.0  # When who was passed over was the last hope, it is asked again after this long,
REPEAT_S = 10.0  # and when everybody says that they do not have a block, everybody is after this long.
FAILURES_MAX = 3  # Who lets us down so often without a block between is no holder any more.
GREETED_WITH_MAX = 64  # Wants that a newcomer is asked about at once.
_GONE_MAX = 1_024  # Who went longest ago is a stranger when it comes back.


@dataclass(eq=False, slots=True)
class _Want:
    cid: bytes
    since: float
    circles: set[int] = field(default_factory=set)
    asked: PeerId | None = None
    asked_at: float = 0.0
    told: dict[PeerId, None] = field(default_factory=dict)
    lacking: dict[PeerId, bool] = field(default_factory=dict)  # whether they say so themselves


class Asking:
    """All wants of this node. What is to be said to a peer waits until ``take``; ``talkative`` says to whom."""

    def __init__(self) -> None:
        self._peers: dict[PeerId, Neighbour] = {}
        self._wants: dict[bytes, _Want] = {}
        self._queue: dict[bytes, None] = {}  # multihashes of wants whose holders are full
        self._holders: dict[int, dict[PeerId, None]] = {}  # by circle
        self._only_looks: set[int] = set()
        self._credit_of_gone: OrderedDict[PeerId, int] = OrderedDict()
        self.talkative: dict[PeerId, None] = {}
        self.blame = Blame()

    def came(self, peer: PeerId, now: float) -> None:
        """A neighbour; it is asked about what is open."""
        if peer not in self._peers:
            self._peers[peer] = Neighbour(credit=self._credit_of_gone.pop(peer, 0), rests=True)
        known = self._peers[peer]
        if not known.rests or self.blame.is_banned(peer, now):
            return
        known.rests = False
        for want in list(self._wants.values())[:GREETED_WITH_MAX]:
            self._poll(peer, want)

    def went(self, peer: PeerId, now: float) -> None:
        """It is no neighbour any more: others are asked for what it was to send.

        When it is one again, over another connection perhaps, it may still be answering what it was told before.
        """
        self.blame.went(peer)
        if peer in self._peers:
            self._credit_of_gone[peer] = self._peers[peer].credit
            if len(self._credit_of_gone) > _GONE_MAX:
                self._credit_of_gone.popitem(last=False)
        self._forget(peer, now)

    def rests(self, peer: PeerId, now: float) -> None:
        """It speaks no bitswap, or a stream to it broke: it is left alone until it ``came`` again."""
        known = self._peers.get(peer)
        if known is not None:
            self._forget(peer, now)
            self._peers[peer] = Neighbour(credit=known.credit, rests=True)

    def cannot_tell(self, peer: PeerId) -> None:
        """It turns out that this peer cannot say whether it has a block: it speaks a version before 1.2.0."""
        if peer in self._peers:
            self._peers[peer].tells_have = False

    def begin(self, circle: int, *, only_looks: bool = False) -> None:
        """A new circle. ``only_looks``: who has a block of it is of interest, not the block."""
        self._holders[circle] = {}
        if only_looks:
            self._only_looks.add(circle)

    def end(self, circle: int, now: float) -> None:
        """Nobody wants anything of it any more."""
        for multihash in [multihash for multihash, want in self._wants.items() if circle in want.circles]:
            want = self._wants[multihash]
            want.circles.discard(circle)
            if not want.circles:
                self._settle(multihash, want)
        del self._holders[circle]
        self._only_looks.discard(circle)
        self._pump(now)

    def open(self, circle: int, cid: Cid, now: float, *, urgent: bool = False) -> None:
        """A block is wanted, until it comes or the circle ends. ``urgent``: a reader waits for it and for no other."""
        want = self._wants.setdefault(cid.multihash, _Want(cid.raw, now))
        want.circles.add(circle)
        if want.asked is None:
            self._pursue(cid.multihash, now, urgent=urgent)

    def asked(self, circle: int) -> int:
        """How many peers were asked for something of a circle."""
        told = {peer for want in self._wants.values() if circle in want.circles for peer in want.told}
        return len(told | self._holders[circle].keys())

    def has_holder(self, circle: int) -> bool:
        """Whether somebody has a block of it."""
        return bool(self._holders[circle])

    def is_answered(self, circle: int, multihash: bytes) -> bool:
        """Whether it need not be waited for who has an open block of a circle."""
        return self.has_holder(circle) or self.is_denied(multihash) or self.is_alone

    @property
    def is_alone(self) -> bool:
        """Whether there is nobody to ask."""
        return all(known.rests for known in self._peers.values())

    def is_denied(self, multihash: bytes) -> bool:
        """Whether everybody there is says that they do not have an open block."""
        want = self._wants.get(multihash)
        there = [peer for peer, known in self._peers.items() if not known.rests]
        return want is not None and bool(there) and all(want.lacking.get(peer) for peer in there)

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

        Who sends too much of what nobody asked for is banned, as ``blame`` says; what it sent before that counts.
        """
        came = [found for block in message.blocks if (found := self._came(peer, block, now)) is not None]
        for presence in message.presences:
            self._presence(peer, multihash_of(presence.cid), has=presence.has, now=now)
        self._pump(now)
        return came

    def tick(self, now: float) -> None:
        """Time has passed: who keeps us waiting is passed over."""
        for peer, known in list(self._peers.items()):
            tardy = [multihash for multihash in known.under_way if self._is_tardy(known, self._wants[multihash], now)]
            if tardy:
                self._pass_over(peer, tardy, now)
        for multihash, want in list(self._wants.items()):
            if want.asked is None and multihash not in self._queue:
                self._pursue_again(multihash, want, now)
        self._pump(now)

    def _forget(self, peer: PeerId, now: float) -> None:
        gone = self._peers.pop(peer, None)
        if gone is None:
            return
        self.talkative.pop(peer, None)
        for holders in self._holders.values():
            holders.pop(peer, None)
        for want in self._wants.values():
            want.told.pop(peer, None)
            want.lacking.pop(peer, None)
        for multihash in (*gone.under_way, *self._queue):
            self._wants[multihash].asked = None
            self._pursue(multihash, now)

    def _came(self, peer: PeerId, block: Block, now: float) -> tuple[bytes, bytes, frozenset[int]] | None:
        known = self._peers.get(peer)
        if known is None or self.blame.is_banned(peer, now):
            return None
        known.credit -= 1
        if not can_be_asked_for(block):
            self._blame(peer, None, now)
            return None
        multihash = SHA2_256_HEAD + hashlib.sha256(block.data).digest()
        want = self._wants.get(multihash)
        if want is None:
            self._blame(peer, multihash, now)
            return None
        known.delivers(multihash, len(block.data), now)
        for circle in want.circles:
            self._holders[circle][peer] = None
        self._settle(multihash, want, but=peer)
        return multihash, block.data, frozenset(want.circles)

    def _blame(self, peer: PeerId, multihash: bytes | None, now: float) -> None:
        if multihash is None:
            self.blame.strike(peer, now)
        else:
            self.blame.useless(peer, multihash, self._peers[peer].credit, now)
        if self.blame.is_banned(peer, now):
            self.rests(peer, now)

    def _presence(self, peer: PeerId, multihash: bytes | None, *, has: bool, now: float) -> None:
        want = None if multihash is None else self._wants.get(multihash)
        if want is None or multihash is None or peer not in want.told:
            return
        if has:
            want.lacking.pop(peer, None)
            for circle in want.circles:
                self._holders[circle][peer] = None
        else:
            want.lacking[peer] = True
            if want.asked == peer:
                self._release(multihash, want)
        if want.asked is None:
            self._pursue(multihash, now)

    def _pursue(self, multihash: bytes, now: float, *, urgent: bool = False, last_resort: bool = False) -> None:
        """Ask the best holder for a block; while there is none, ask everybody else whether they have it."""
        want = self._wants[multihash]
        able = [] if want.circles <= self._only_looks else self._able(want, last_resort)
        free = able if urgent else [peer for peer in able if self._peers[peer].room]
        if able and not free:
            self._queue[multihash] = None
            return
        self._queue.pop(multihash, None)
        if free:
            self._ask(min(free, key=lambda peer: self._peers[peer].load_s), multihash, want, now)
            return
        for peer in self._peers:
            self._poll(peer, want)

    def _pursue_again(self, multihash: bytes, want: _Want, now: float) -> None:
        waited_s = now - want.since
        if waited_s > (REPEAT_S if all(want.lacking.values()) else RETRY_S):
            want.since = now
            want.lacking.clear()
            want.told.clear()
            self._pursue(multihash, now)
        elif waited_s > LAST_RESORT_S:
            self._pursue(multihash, now, last_resort=True)

    def _pump(self, now: float) -> None:
        """Ask for what waits, in its order, as far as holders have room."""
        holders = {peer for peers in self._holders.values() for peer in peers} if self._queue else ()
        room = sum(self._peers[peer].room for peer in holders)
        for multihash in list(self._queue) if room else ():
            self._pursue(multihash, now)
            room -= multihash not in self._queue
            if not room:
                break

    def _able(self, want: _Want, last_resort: bool) -> list[PeerId]:
        """Holders that have not let us down over this block; in the last resort, who cannot say whether they are."""
        holders = {peer: None for circle in want.circles for peer in self._holders[circle] if peer not in want.lacking}
        if holders or not last_resort:
            return list(holders)
        mute = [peer for peer, known in self._peers.items() if not (known.tells_have or known.rests)]
        return [peer for peer in mute if peer not in want.lacking]

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

    def _is_tardy(self, known: Neighbour, want: _Want, now: float) -> bool:
        return now - max(want.asked_at, known.delivered_at) > PATIENCE_S or now - want.asked_at > OVERDUE_S

    def _pass_over(self, peer: PeerId, tardy: list[bytes], now: float) -> None:
        """One failure of a peer, over some blocks: others are asked for them, if there are any."""
        known = self._peers[peer]
        known.failures += 1
        if known.failures >= FAILURES_MAX:
            for holders in self._holders.values():
                holders.pop(peer, None)
        for multihash in tardy:
            want = self._wants[multihash]
            want.lacking[peer] = False
            want.since = now
            self._release(multihash, want)
            self._cancel(peer, want.cid)
            self._pursue(multihash, now)

    def _release(self, multihash: bytes, want: _Want) -> None:
        if want.asked is not None:
            self._peers[want.asked].under_way.pop(multihash, None)
            want.asked = None

    def _settle(self, multihash: bytes, want: _Want, but: PeerId | None = None) -> None:
        """The block has come, or nobody wants it any more: everybody who was told hears so, but who sent it."""
        self._release(multihash, want)
        for peer in want.told:
            if peer != but:
                self._cancel(peer, want.cid)
        del self._wants[multihash]
        self._queue.pop(multihash, None)
        self.blame.settled(multihash)

    def _cancel(self, peer: PeerId, cid: bytes) -> None:
        known = self._peers.get(peer)
        if known is not None and known.outbox.pop(cid, None) is None:
            self._tell(peer, Want(cid, 0, cancels=True))
