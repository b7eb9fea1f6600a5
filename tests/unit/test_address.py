"""Multiaddrs of nodes: what is read is written alike; what is none is refused with a reason."""

from __future__ import annotations

import pytest
from contract.transports import identity
from hypothesis import given
from hypothesis import strategies as st

from node.transport.address import Address, dialable, of_ip, parse

PEER = identity(1).peer_id


@pytest.mark.parametrize("host", ["/ip4/1.2.3.4", "/ip6/2001:db8::1", "/dns4/node.example.org", "/dns/a"])
def test_what_is_read_is_written_alike(host: str):
    text = f"{host}/tcp/1235/p2p/{PEER}"
    assert parse(text).text == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        f"/ip4/1.2.3.4/tcp/1235/p2p/{PEER}/",
        f"/ip4/1.2.3.4/udp/1235/p2p/{PEER}",
        f"/ip4/1.2.3/tcp/1235/p2p/{PEER}",
        f"/ip6/1.2.3.4/tcp/1235/p2p/{PEER}",
        f"/ip4/1.2.3.4/tcp/65536/p2p/{PEER}",
        f"/ip4/1.2.3.4/tcp/-1/p2p/{PEER}",
        f"/ip4/1.2.3.4/tcp/\u0661/p2p/{PEER}",
        f"/dns4/a b/tcp/1/p2p/{PEER}",
        f"/dns4/{'a' * 300}/tcp/1/p2p/{PEER}",
        f"/unix/x/tcp/1/p2p/{PEER}",
        "/ip4/1.2.3.4/tcp/1235",
        "/ip4/1.2.3.4/tcp/1235/p2p/QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N",
        f"/ip4/1.2.3.4/tcp/1235/p2p/{PEER[:-1]}",
        "/ip4/1.2.3.4/tcp/1235/p2p/\u00e9",
    ],
)
def test_what_is_no_address_of_a_node_is_refused(text: str):
    with pytest.raises(ValueError, match=r"."):
        parse(text)


@given(st.text(max_size=80))
def test_any_text_is_an_address_or_a_value_error(text: str):
    for candidate in (text, f"/ip4/{text}/tcp/1/p2p/{PEER}", f"/ip4/1.2.3.4/tcp/1/p2p/{text}"):
        try:
            assert parse(candidate).peer
        except ValueError:
            continue


def test_addresses_of_others_and_repeats_are_left_out():
    good = f"/ip4/1.2.3.4/tcp/1/p2p/{PEER}"
    other = f"/ip4/1.2.3.4/tcp/1/p2p/{identity(2).peer_id}"
    assert dialable([good, other, "rubbish", good], PEER) == (parse(good),)


@pytest.mark.parametrize(
    ("ip", "kind", "host"), [("::ffff:1.2.3.4", "ip4", "1.2.3.4"), ("fe80::1%lo", "ip6", "fe80::1")]
)
def test_a_sockets_end_is_named_plainly(ip: str, kind: str, host: str):
    assert of_ip(ip, 7, PEER) == Address(kind, host, 7, PEER)
