"""What may come from whom: false, repeated and unasked blocks, and claims."""

from __future__ import annotations

import pytest
from doubles.wanting import ANNA, BERT, CIRCLE, among, block, blocks, cid, data, haves, lacks, look, with_holder

from node import limits
from node.storage.ipfs.bitswap import asking, blame
from node.storage.ipfs.bitswap.wire import Block, Message, Presence, multihash_of
from node.storage.ipfs.cid import DAG_PB, Cid


def test_blocks_that_come_twice_are_counted_and_forgiven_as_often_as_they_were_asked_for():
    core = with_holder(*range(1, 10))
    core.take(ANNA)
    core.went(BERT, 0.0)
    core.came(BERT, 0.0)
    core.take(BERT)
    core.hear(ANNA, blocks(*range(1, 10)), 0.0)
    core.take(BERT)
    assert core.hear(BERT, blocks(1, 2, 3), 0.1) == []
    assert (core.blame.duplicates, core.blame.unwanted) == (3, 0)


def test_what_was_under_way_when_its_connection_was_replaced_is_not_held_against_a_neighbour():
    numbers = range(1, 20)
    core = with_holder(*numbers)
    core.take(ANNA)
    core.went(ANNA, 0.0)
    core.came(ANNA, 0.0)
    core.take(ANNA)
    core.hear(ANNA, blocks(*numbers), 0.0)
    core.hear(ANNA, blocks(*numbers), 0.0)
    assert not core.blame.is_banned(ANNA, 0.0)
    assert (core.blame.duplicates, core.blame.unwanted) == (len(numbers), 0)


def test_who_repeats_a_block_for_ever_is_not_listened_to():
    core = with_holder(1)
    core.take(ANNA)
    core.hear(ANNA, blocks(1), 0.0)
    repeated = Message(blocks=(block(1),) * (blame.STRIKES_MAX + 2))
    core.hear(ANNA, repeated, 0.0)
    assert core.blame.is_banned(ANNA, 0.0)


def test_who_sends_what_nobody_asked_for_is_not_asked_any_more():
    core = with_holder(1)
    core.take(ANNA)
    core.hear(ANNA, blocks(*range(100, 100 + blame.STRIKES_MAX)), 0.0)
    assert not core.blame.is_banned(ANNA, 0.0)
    core.hear(ANNA, blocks(200), 0.0)
    assert core.blame.is_banned(ANNA, 0.0)
    assert core.blame.unwanted == blame.STRIKES_MAX + 1
    assert core.take(BERT) == (look(1),)
    core.went(ANNA, 1.0)
    core.came(ANNA, 1.0)
    assert core.take(ANNA) == ()
    core.went(ANNA, blame.BANNED_S + 1)
    core.came(ANNA, blame.BANNED_S + 1)
    assert core.take(ANNA) == (look(1),)


@pytest.mark.parametrize(
    "wrong",
    [
        Block(cid(1).raw[:-34] + b"\x1e\x20", data(1)),
        Block(b"\x01", data(1)),
        Block(cid(1).raw[:-32], data(1) + b"x"),
        Block(cid(1).raw[:-32], bytes(limits.BLOCK_BYTES_MAX + 1)),
    ],
)
def test_a_block_that_is_not_what_it_should_be_is_dropped_and_held_against_its_sender(wrong: Block):
    core = with_holder(1)
    core.take(ANNA)
    assert core.hear(ANNA, Message(blocks=(wrong,)), 0.0) == []
    assert core.blame.unwanted == 1
    assert core.hear(ANNA, blocks(1), 0.0)


def test_blocks_of_who_is_no_neighbour_are_dropped():
    core = among()
    core.open(CIRCLE, cid(1), 0.0)
    assert core.hear(ANNA, blocks(1), 0.0) == []


def test_what_came_before_the_garbage_in_a_message_counts():
    core = with_holder(1)
    core.take(ANNA)
    assert core.hear(ANNA, blocks(1, *range(100, 110)), 0.0)
    assert core.blame.is_banned(ANNA, 0.0)
    core.open(CIRCLE, cid(2), 0.0)
    assert core.hear(ANNA, blocks(2), 0.0) == [], "and nothing of it does after"


def test_a_claim_to_have_what_it_was_not_asked_for_makes_nobody_a_holder():
    core = with_holder(1)
    core.hear(BERT, haves(1, 55), 0.0)
    core.hear(BERT, Message(presences=(Presence(b"\x01\x55\x1e\x20" + bytes(32), has=True),)), 0.0)
    core.take(ANNA)
    core.hear(ANNA, lacks(1), 0.0)
    assert core.take(BERT) == (look(1),)


def test_who_claims_and_never_delivers_is_no_holder_any_more():
    core = among(ANNA)
    now = 0.0
    for number in range(asking.FAILURES_MAX):
        core.open(CIRCLE, cid(number), now)
        core.hear(ANNA, haves(number), now)
        now += asking.PATIENCE_S + 1
        core.tick(now)
    assert not core.has_holder(CIRCLE)


def test_only_who_was_asked_for_a_block_not_long_ago_may_send_much():
    core = with_holder()
    assert not core.is_asked(BERT, 0.0)
    core.open(CIRCLE, cid(1), 5.0)
    assert core.is_asked(ANNA, 5.0 + limits.BITSWAP_STALL_S - 1)
    assert not core.is_asked(ANNA, 5.0 + limits.BITSWAP_STALL_S + 1)


@pytest.mark.parametrize(
    ("raw", "known"),
    [
        (cid(1).raw, True),
        (Cid.of(b"", DAG_PB, 0).raw, True),
        (b"\x01\xa9\x02\x12\x20" + bytes(32), True),
        (b"\x01\x55\x1e\x20" + bytes(32), False),
        (b"\x02\x55\x12\x20" + bytes(32), False),
        (b"\x01\x55\x00\x02hi", False),
        (b"", False),
    ],
)
def test_the_hash_of_any_cid_is_known_if_it_is_of_ours(raw: bytes, known: bool):
    assert (multihash_of(raw) is not None) == known
