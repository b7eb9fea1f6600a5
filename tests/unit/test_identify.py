"""What we say of ourselves is what other implementations read: the bytes are those of the specification's protobuf."""

from __future__ import annotations

import pytest
from contract.transports import identity
from libp2p.identity.identify.pb.identify_pb2 import Identify
from multiaddr import Multiaddr

from node.transport.address import Address
from node.transport.libp2p.identify import Card, encode

ME = identity(1).peer_id


def read(said: bytes) -> Identify:
    """One message with its length in front."""
    length, begin = 0, 0
    while True:
        length |= (said[begin] & 0x7F) << 7 * begin
        begin += 1
        if said[begin - 1] < 0x80:
            break
    assert len(said) - begin == length
    message = Identify()
    message.ParseFromString(said[begin:])
    return message


@pytest.mark.parametrize(
    ("kind", "host"),
    [("ip4", "10.1.2.3"), ("ip6", "2001:db8::1"), ("dns", "example.org"), ("dns4", "a"), ("dns6", "b.c")],
)
def test_another_implementation_reads_what_we_are(kind: str, host: str) -> None:
    listen = [Address(kind, host, 4001, ME), Address("ip4", "127.0.0.1", 65535, ME)]
    seen = Address(kind, host, 1, ME)

    told = read(encode(Card(ME, "quorate/1", ("/a/1", "/b/2"), listen, seen)))

    assert told.agent_version == "quorate/1"
    assert list(told.protocols) == ["/a/1", "/b/2"]
    assert told.public_key == bytes.fromhex("08011220") + bytes(identity(1).key.verify_key)
    assert [str(Multiaddr(bytes(raw))) for raw in told.listen_addrs] == [
        f"/{kind}/{host}/tcp/4001",
        "/ip4/127.0.0.1/tcp/65535",
    ]
    assert str(Multiaddr(told.observed_addr)) == f"/{kind}/{host}/tcp/1"


def test_a_long_answer_has_a_long_length() -> None:
    protocols = tuple(f"/protocol/{number}" for number in range(2000))

    assert list(read(encode(Card(ME, "", protocols, [], Address("ip4", "1.2.3.4", 1, ME)))).protocols) == list(
        protocols
    )
