"""What each peer is owed: in its order, within limits, until it is cancelled."""

from __future__ import annotations

from doubles.peers import peer

from node import limits
from node.storage.ipfs.bitswap.answering import BURST_S, Answering
from node.storage.ipfs.bitswap.wire import Message, Want

ANNA, BERT = peer(1), peer(2)


def named(number: int) -> bytes:
    return b"cid %d" % number


def wants(*numbers: int, **flags: bool) -> Message:
    return Message(tuple(Want(named(number), **flags) for number in numbers))


def owed(core: Answering, one: str = ANNA) -> list[bytes]:
    return [want.cid for want in core.next(one, 5_000)[0]]


def test_wants_are_answered_in_the_order_of_their_priorities_and_then_of_their_coming():
    core = Answering()
    core.hear(ANNA, Message((Want(b"low", 1), Want(b"high", 9), Want(b"also low", 1))), 0.0)
    assert owed(core) == [b"high", b"low", b"also low"]
    core.hear(ANNA, Message((Want(b"highest", 10),)), 0.0)
    assert owed(core)[0] == b"highest"


def test_what_is_answered_is_owed_no_more():
    core = Answering()
    core.hear(ANNA, wants(1, 2, 3), 0.0)
    taken, refused = core.next(ANNA, 2)
    core.done(ANNA, taken, refused)
    assert owed(core) == [named(3)]
    core.done(ANNA, *core.next(ANNA, 2))
    assert not core.waiting
    assert core.next(ANNA, 2) == ([], [])


def test_what_is_wanted_anew_while_it_is_answered_is_answered_anew():
    core = Answering()
    core.hear(ANNA, wants(1, 2, have_is_enough=True), 0.0)
    taken, refused = core.next(ANNA, 2)
    core.hear(ANNA, wants(1), 0.0)
    core.done(ANNA, taken, refused)
    assert core.next(ANNA, 2)[0] == [Want(named(1))]


def test_a_cancel_is_honoured():
    core = Answering()
    core.hear(ANNA, wants(1, 2), 0.0)
    core.hear(ANNA, wants(1, cancels=True), 0.0)
    assert owed(core) == [named(2)]
    core.hear(ANNA, wants(2, 3, cancels=True), 0.0)
    assert not core.waiting


def test_a_full_list_replaces_what_was_wanted():
    core = Answering()
    core.hear(ANNA, wants(1, 2), 0.0)
    core.hear(ANNA, Message((Want(named(3)),), full=True), 0.0)
    assert owed(core) == [named(3)]
    core.hear(ANNA, Message(full=True), 0.0)
    assert not core.waiting


def test_each_has_a_queue_of_its_own_until_it_goes():
    core = Answering()
    core.hear(ANNA, wants(1), 0.0)
    core.hear(BERT, wants(2), 0.0)
    assert list(core.waiting) == [ANNA, BERT]
    core.went(ANNA)
    assert list(core.waiting) == [BERT]
    assert owed(core, ANNA) == []
    core.forget(BERT)
    assert not core.waiting
    core.hear(BERT, wants(3), 0.0)
    assert owed(core, BERT) == [named(3)]


def test_for_too_many_wants_the_answer_is_that_it_is_not_here():
    core = Answering()
    most = limits.BITSWAP_WANTS_PER_PEER
    core.hear(ANNA, wants(*range(most)), 0.0)
    core.hear(ANNA, wants(*range(most, most + 10), tells_dont_have=True), 0.0)
    core.hear(ANNA, wants(*range(most + 10, most + 20)), 0.0)
    core.hear(ANNA, wants(0, tells_dont_have=True), 0.0)
    core.hear(ANNA, wants(most, cancels=True), 0.0)
    assert len(owed(core)) == most
    assert core.next(ANNA, 50)[1] == [named(number) for number in range(most + 1, most + 10)]
    core.hear(ANNA, wants(*range(10_000, 14_000), tells_dont_have=True), 0.0)
    assert len(core.next(ANNA, 50_000)[1]) == most
    core.done(ANNA, *core.next(ANNA, 50_000))
    assert not core.waiting


def test_who_talks_too_much_is_listened_to_more_slowly():
    core = Answering()
    burst = int(limits.BITSWAP_WANTS_PER_S * BURST_S)
    core.hear(ANNA, wants(*range(burst - 1)), 100.0)
    assert core.pause_s(ANNA, 100.0) == 0.0
    core.hear(ANNA, wants(*range(999)), 100.0)
    assert 0.2 < core.pause_s(ANNA, 100.0) < 0.3
    assert core.pause_s(ANNA, 100.3) == core.pause_s(BERT, 100.0) == 0.0
    for _ in range(limits.BITSWAP_WANTS_PER_S):
        core.hear(ANNA, Message(), 100.25)
    assert core.pause_s(ANNA, 100.25) > 0.9, "empty messages cost too"


def test_bytes_that_mean_nothing_cost_like_wants():
    core = Answering()
    core.hear(ANNA, Message(), 100.0, idle_bytes=64 * int(limits.BITSWAP_WANTS_PER_S * BURST_S))
    core.hear(ANNA, Message(), 100.0, idle_bytes=64 * limits.BITSWAP_WANTS_PER_S)
    assert 0.99 < core.pause_s(ANNA, 100.0) < 1.01
