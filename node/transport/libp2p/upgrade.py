"""From a socket to an authenticated, multiplexed connection: multistream, Noise, multistream, Yamux.

Lives here: the order of the steps and who the far end is. Does not live here: deadlines (``connections``,
``life``), streams' contents.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import trio
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.x25519 import create_new_key_pair as create_noise_key_pair
from libp2p.custom_types import TProtocol
from libp2p.peer.id import ID
from libp2p.protocol_muxer.exceptions import ProtocolNotSupportedError
from libp2p.protocol_muxer.multiselect import Multiselect
from libp2p.protocol_muxer.multiselect_client import MultiselectClient
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE
from libp2p.security.noise.transport import Transport as Noise
from libp2p.stream_muxer.yamux.yamux import PROTOCOL_ID as YAMUX

from node.errors import NotSpoken, PeerGone
from node.identity import Identity, public_key_of
from node.model import PeerId
from node.transport.libp2p.hardening import Endpoint, Exact, Negotiator, contained
from node.transport.libp2p.muxing import Muxer, Stream


class Upgrader:
    """Proves who we are, and finds out who they are."""

    def __init__(self, identity: Identity) -> None:
        keys = create_new_key_pair(bytes(identity.key))
        self._noise = Noise(keys, create_noise_key_pair().private_key)

    async def outbound(self, socket: trio.SocketStream, peer: PeerId) -> Muxer:
        """Connect to ``peer`` and nobody else. Raises PeerGone."""
        with contained("connecting"):
            raw = Endpoint(socket, is_initiator=True)
            await ask((NOISE,), Negotiator(raw, raw.write))
            secured = await self._noise.secure_outbound(raw, ID.from_string(peer))
            await ask((YAMUX,), Negotiator(secured, secured.write))
            return Muxer(secured, secured.get_remote_peer(), is_initiator=True)

    async def inbound(self, socket: trio.SocketStream) -> Muxer:
        """Find out who connects. Raises PeerGone, also for identities that are no Ed25519 key."""
        with contained("accepting"):
            raw = Endpoint(socket, is_initiator=False)
            await answer((NOISE,), Negotiator(raw, raw.write))
            secured = await self._noise.secure_inbound(raw)
            await answer((YAMUX,), Negotiator(secured, secured.write))
            return Muxer(secured, secured.get_remote_peer(), is_initiator=False)


def peer_of(muxer: Muxer) -> PeerId:
    """Who is at the far end, proved. Raises PeerGone when it is nobody we can seal to."""
    peer = str(muxer.peer_id)
    try:
        public_key_of(peer)
    except ValueError as error:
        raise PeerGone(str(error)) from error
    return PeerId(peer)


async def open_stream(muxer: Muxer, protocol: str) -> tuple[Stream, Exact]:
    """A new stream that speaks ``protocol``, and its reader. Raises PeerGone."""
    _, stream, reader = await open_one_of(muxer, (protocol,))
    return stream, reader


async def open_one_of(muxer: Muxer, protocols: Sequence[str]) -> tuple[str, Stream, Exact]:
    """A new stream in the first of ``protocols`` that is spoken there, and its reader. Raises PeerGone, NotSpoken."""
    with contained("opening a stream"):
        stream: Stream = await muxer.open_stream()
    reader = Exact(stream.receive)
    try:
        with contained("negotiating"):
            protocol = await ask(protocols, Negotiator(reader, stream.write))
    except BaseException:
        await discard(stream)
        raise
    return protocol, stream, reader


async def accept_stream(stream: Stream, protocols: tuple[str, ...]) -> tuple[str, Exact]:
    """The protocol that the opener of ``stream`` wants, and its reader. Raises PeerGone."""
    reader = Exact(stream.receive)
    with contained("negotiating"):
        return await answer(protocols, Negotiator(reader, stream.write)), reader


async def discard(stream: Stream) -> None:
    """Reset a stream, whatever state it is in, and forget what came; bounded, also when cancelled."""
    with trio.CancelScope(shield=True, deadline=trio.current_time() + 1.0):
        try:
            with contained("resetting"):
                await stream.reset()
                await stream.forget()
        except PeerGone:
            return  # The connection is gone, and the stream with it.


async def ask(protocols: Sequence[str], negotiator: Negotiator) -> str:
    """Agree on the first of several protocols that the far end speaks, as the one who opens. Raises NotSpoken."""
    client = MultiselectClient()
    await client.handshake(negotiator)
    for protocol in protocols:
        with suppress(ProtocolNotSupportedError):
            return str(await client.try_select(negotiator, TProtocol(protocol)))
    raise NotSpoken("not supported: " + ", ".join(protocols))


async def answer(protocols: tuple[str, ...], negotiator: Negotiator) -> str:
    """Agree on one of several protocols, as the one who accepts."""
    chosen, _ = await Multiselect(dict.fromkeys(map(TProtocol, protocols))).negotiate(negotiator)
    return str(chosen)
