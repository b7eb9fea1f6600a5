"""The address book forgets hints first, whoever it is connected to last."""

from __future__ import annotations

from contract.transports import identity
from hypothesis import given
from hypothesis import strategies as st

from node.directory.book import Book
from node.model import PeerId

OWN = identity(0).peer_id


def peer(number: int) -> PeerId:
    return identity(number).peer_id


def at(number: int, ip: str = "10.0.0.1", port: int = 4001) -> str:
    return f"/ip4/{ip}/tcp/{port}/p2p/{peer(number)}"


def test_a_hint_makes_a_candidate():
    book = Book(OWN)
    book.hinted(peer(1), [at(1)], loopback=False)
    assert book.candidates() == (peer(1),)
    assert book.addresses(peer(1)) == (at(1),)


def test_rubbish_other_peers_addresses_and_our_own_id_are_no_hints():
    book = Book(OWN)
    book.hinted(peer(1), ["", "/ip4/10.0.0.1/udp/1/quic", at(2), at(1, port=0), at(1, ip="0.0.0.0")], loopback=True)
    book.hinted(peer(1), [at(1, ip="224.0.0.1"), at(1, ip="255.255.255.255"), at(1, ip="10.0.0.300")], loopback=True)
    book.hinted(OWN, [f"/ip4/10.0.0.1/tcp/1/p2p/{OWN}"], loopback=True)
    assert len(book) == 0


def test_loopback_is_a_hint_only_among_neighbours():
    book = Book(OWN)
    book.hinted(peer(1), [at(1, ip="127.0.0.1")], loopback=False)
    assert book.candidates() == ()
    book.hinted(peer(1), [at(1, ip="127.0.0.1")], loopback=True)
    assert book.candidates() == (peer(1),)


def test_hearsay_does_not_replace_what_a_peer_said_itself():
    book = Book(OWN)
    book.connected(peer(1), [at(1)])
    book.hinted(peer(1), [at(1, ip="6.6.6.6")], loopback=True)
    book.disconnected(peer(1))
    book.hinted(peer(1), [at(1, ip="6.6.6.6")], loopback=True)
    assert book.addresses(peer(1)) == (at(1),)


def test_whoever_was_heard_of_longest_ago_goes_first():
    book = Book(OWN, peers_max=2)
    for number in (1, 2, 1, 3):
        book.hinted(peer(number), [at(number)], loopback=False)
    assert book.candidates() == (peer(3), peer(1))


def test_a_peer_has_only_so_many_addresses():
    book = Book(OWN)
    book.connected(peer(1), [at(1, port=port) for port in range(1, 100)])
    assert len(book.addresses(peer(1))) == 8


def test_only_connected_peers_that_listen_are_told_of():
    book = Book(OWN)
    book.connected(peer(1), [at(1)])
    book.connected(peer(2), [])
    book.hinted(peer(3), [at(3)], loopback=False)
    assert book.first_hand() == ((peer(1), (at(1),)),)


def test_forgetting_spares_the_connected():
    book = Book(OWN)
    book.connected(peer(1), [at(1)])
    book.forget(peer(1))
    assert book.addresses(peer(1)) == (at(1),)
    book.disconnected(peer(1))
    book.forget(peer(1))
    assert not book.has_met(peer(1))


@given(st.lists(st.tuples(st.sampled_from(["hint", "connect", "disconnect"]), st.integers(1, 12)), max_size=60))
def test_hints_never_push_out_a_connected_peer(events: list[tuple[str, int]]):
    book = Book(OWN, peers_max=4)
    connected: set[int] = set()
    for event, number in events:
        if event == "hint":
            book.hinted(peer(number), [at(number)], loopback=False)
        elif event == "connect":
            book.connected(peer(number), [at(number)])
            connected.add(number)
        else:
            book.disconnected(peer(number))
            connected.discard(number)
        assert {entry[0] for entry in book.first_hand()} == {peer(one) for one in connected}
        assert len(book) <= max(4, len(connected))
        assert not {peer(one) for one in connected} & set(book.candidates())
