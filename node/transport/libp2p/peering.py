"""Who is with us, and over which connection. No I/O: everything here is decided within one plain call.

Two nodes may dial each other at once, and a broken connection is often noticed by one end before the other. So that
both ends always use the same connection, **the smaller peer id decides**: on every new connection the other end opens
first (its nonce, the nonce it knows of the decider's, how much it has), and the decider answers with what is to be. The
last connection it decided for is the one in use; both ends close the one before. Since sessions number their messages,
changing over loses and doubles nothing.

An opening continues the decider's session when it carries the nonce that this session began with, and knows the
decider's nonce or none yet (it was written before the first answer came). Every other opening begins a new session; the
old one, if any, has then been left. Whoever ends a session by itself changes its nonce, so that the far end finds out.

Lives here: peers, their sessions and links.
Does not live here: bytes (``wire``), tasks (``life``), dialling (``connections``).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

import trio

from node import limits
from node.errors import PeerGone
from node.messages import Hello
from node.model import PeerId
from node.transport.address import Address, dialable
from node.transport.libp2p.link import Link
from node.transport.libp2p.session import Bucket, Session
from node.transport.libp2p.wire import Opening

OFFENDERS_MAX = 1024
NONCE_BYTES = 16


@dataclass(eq=False, slots=True)
class Peer:
    """Somebody with whom we have a session. ``link`` is None while the connection is broken."""

    id: PeerId
    session: Session
    bucket: Bucket
    link: Link | None = None
    dialled: Address | None = None  # where we dialled the connection last in use
    changed: trio.Event = field(default_factory=trio.Event)  # replaced whenever ``link`` is


class Peering:
    """All peers of a node.

    ``joined`` and ``left`` are called when sessions begin and end, ``linked`` when one uses another connection or none.
    """

    def __init__(self, local_id: PeerId, token: Callable[[int], bytes], offender_s: float) -> None:
        self.local_id = local_id
        self.hello: Hello = Hello(agent="", addresses=())
        self.joined: Callable[[PeerId, tuple[str, ...]], None] = _tell_nobody
        self.left: Callable[[PeerId], None] = _tell_nobody
        self.linked: Callable[[PeerId], None] = _tell_nobody
        self._token = token
        self._offender_s = offender_s
        self._peers: dict[PeerId, Peer] = {}
        self._nonce = token(NONCE_BYTES)
        self._offenders: OrderedDict[PeerId, float] = OrderedDict()

    @property
    def ids(self) -> tuple[PeerId, ...]:
        """Everybody with a session, sorted."""
        return tuple(sorted(self._peers))

    def get(self, peer: PeerId) -> Peer | None:
        """Somebody with a session."""
        return self._peers.get(peer)

    def all(self) -> tuple[Peer, ...]:
        """Everybody with a session."""
        return tuple(self._peers.values())

    def is_with_us(self, peer: PeerId) -> bool:
        """Whether there is a session with that peer, and a connection."""
        known = self._peers.get(peer)
        return known is not None and known.link is not None

    def link_of(self, peer: PeerId) -> Link | None:
        """The connection that the session with that peer uses."""
        known = self._peers.get(peer)
        return None if known is None else known.link

    def is_missed(self, peer: Peer) -> bool:
        """Whether a session goes on without a connection."""
        return self._peers.get(peer.id) is peer and peer.link is None

    def is_used(self, link: Link) -> bool:
        """Whether a session uses this link."""
        peer = self._peers.get(link.peer)
        return peer is not None and peer.link is link

    def check(self, peer: PeerId) -> None:
        """Raises PeerGone when we would not have that peer at this moment.

        Where there are too many, one that has no connection makes room: else whoever comes under a new name each time,
        and leaves, keeps everybody else away.
        """
        self.check_name(peer)
        if peer not in self._peers and len(self._peers) >= limits.PEERS_MAX and not self._made_room():
            raise PeerGone("we have as many peers as we may")

    def check_name(self, peer: PeerId) -> None:
        """Raises PeerGone for ourselves, and for who broke the protocol."""
        if peer == self.local_id:
            raise PeerGone("this address is our own")
        if self._offenders.get(peer, 0.0) > trio.current_time():
            raise PeerGone("this peer broke the protocol a moment ago")

    def offer(self, link: Link) -> Opening:
        """Our opening to a peer that decides."""
        self.check(link.peer)
        peer = self._peers.get(link.peer)
        if peer is None:
            link.offered = Opening(nonce=self._nonce, known=None, received=0, hello=self.hello)
        else:
            session = peer.session
            link.offered = Opening(
                nonce=session.ours, known=session.theirs, received=session.received, hello=self.hello
            )
        return link.offered

    def follow(self, link: Link, opening: Opening) -> Session:
        """Do as the decider says. Raises PeerGone when what we offered is no longer so."""
        self.check_name(link.peer)  # There was room when we offered; to make it now would change our nonce.
        peer, offered = self._peers.get(link.peer), link.offered
        assert offered is not None
        if peer is not None and (peer.session.ours, peer.session.theirs) == (offered.nonce, opening.nonce):
            if opening.decided <= peer.session.decided:  # Heard late; the far end has dropped this one already.
                raise PeerGone("another connection is used")
            peer.session.resume(opening.received)
            self._attach(peer, link)
        elif offered.nonce != (self._nonce if peer is None else peer.session.ours):
            raise PeerGone("the session ended meanwhile")
        else:
            peer = self._begin(link, Session(offered.nonce, opening.nonce), peer)
            self._attach(peer, link)
            self.joined(link.peer, hints(link, opening.hello))
        peer.session.decided = opening.decided
        return peer.session

    def decide(self, link: Link, opening: Opening) -> tuple[Session, Opening]:
        """Continue the session or begin one, over this link from now on."""
        self.check(link.peer)
        peer = self._peers.get(link.peer)
        goes_on = peer is not None and _continues(peer.session, opening)
        if peer is not None and goes_on:
            peer.session.resume(opening.received)
        else:
            peer = self._begin(link, Session(self._token(NONCE_BYTES), opening.nonce), peer)
        self._attach(peer, link)
        session = peer.session
        session.decided += 1
        answer = Opening(session.ours, session.theirs, session.received, self.hello, session.decided)
        if not goes_on:
            self.joined(link.peer, hints(link, opening.hello))
        return session, answer

    def detach(self, link: Link) -> Peer | None:
        """A link has ended: the peer whose session used it, if any."""
        peer = self._peers.get(link.peer)
        if peer is None or peer.link is not link:
            return None
        self._set_link(peer, None)
        return peer

    def drop(self, peer: Peer, reason: str) -> None:
        """End a session; does nothing when it has ended."""
        if self._peers.get(peer.id) is peer:
            del self._peers[peer.id]
            self._nonce = self._token(NONCE_BYTES)
            link = peer.link
            self._set_link(peer, None)
            if link is not None:
                link.end(reason)
            self.left(peer.id)

    def shun(self, peer: PeerId) -> None:
        """Have nothing to do with a peer for a while."""
        self._offenders[peer] = trio.current_time() + self._offender_s
        self._offenders.move_to_end(peer)
        if len(self._offenders) > OFFENDERS_MAX:
            self._offenders.popitem(last=False)

    def forget_all(self) -> None:
        """The transport has ended; nobody is told."""
        self._peers.clear()

    def _made_room(self) -> bool:
        """Leave the absent peer that has told us least."""
        absent = (peer for peer in self._peers.values() if peer.link is None)
        least = min(absent, key=lambda peer: peer.session.received, default=None)
        if least is not None:
            self.drop(least, "made room for another")
        return least is not None

    def _begin(self, link: Link, session: Session, before: Peer | None) -> Peer:
        if before is not None:
            self._leave_for(before)
        rate = limits.MESSAGES_PER_S_PER_PEER
        peer = Peer(link.peer, session, Bucket(rate, 4 * rate, trio.current_time()))
        self._peers[link.peer] = peer
        return peer

    def _leave_for(self, peer: Peer) -> None:
        """The far end has begun anew: our nonce is part of what it began."""
        nonce = self._nonce
        self.drop(peer, "the peer began anew")
        self._nonce = nonce

    def _attach(self, peer: Peer, link: Link) -> None:
        before = peer.link
        peer.dialled = link.dialled
        self._set_link(peer, link)
        if before is not None:
            before.end("another connection is used")
        link.wake()

    def _set_link(self, peer: Peer, link: Link | None) -> None:
        peer.link = link
        peer.changed.set()
        peer.changed = trio.Event()
        self.linked(peer.id)


def hints(link: Link, hello: Hello) -> tuple[str, ...]:
    """Where a peer may be dialled: where we did, where we see it with the ports it names, and what it names itself.

    An address of its own loopback is one only to a peer on the same machine.
    """
    named = [
        address for address in dialable(hello.addresses, link.peer) if link.seen.is_loopback or not address.is_loopback
    ]
    ports = dict.fromkeys(address.port for address in named)
    seen = [Address(link.seen.kind, link.seen.host, port, link.peer) for port in ports]
    first = [link.dialled] if link.dialled else []
    found = dict.fromkeys(address.text for address in (*first, *seen, *named))
    return tuple(found)[: limits.ADDRESSES_PER_PEER_MAX]


def _continues(session: Session, opening: Opening) -> bool:
    return session.theirs == opening.nonce and opening.known in (session.ours, None)


def _tell_nobody(*event: object) -> None:
    """Until the transport runs."""
