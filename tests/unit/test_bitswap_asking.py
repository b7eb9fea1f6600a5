"""Who is asked for which block, and what may come from whom."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest
from doubles.peers import peer
from hypothesis import given
from hypothesis import strategies as st

from node import limits
from node.errors import MalformedMessage
from node.model import PeerId
from node.storage.ipfs.bitswap import asking
from node.storage.ipfs.bitswap.asking import Asking, multihash_of
from node.storage.ipfs.bitswap.wire import Block, Message, Presence, Want
from node.storage.ipfs.cid import DAG_PB, RAW, Cid

ANNA, BERT, CARL = peer(1), peer(2), peer(3)
CIRCLE = 7


def data(number: int) -> bytes:
    return b"block %d" % number


def cid(number: int) -> Cid:
    return Cid.of(data(number), RAW)


def block(number: int) -> Block:
    return Block(cid(number).raw[:-32], data(number))


def blocks(*numbers: int) -> Message:
    return Message(blocks=tuple(map(block, numbers)))


def haves(*numbers: int) -> Message:
    return Message(presences=tuple(Presence(cid(number).raw, has=True) for number in numbers))


def lacks(*numbers: int) -> Message:
    return Message(presences=tuple(Presence(cid(number).raw, has=False) for number in numbers))


def look(number: int) -> Want:
    return Want(cid(number).raw, have_is_enough=True, tells_dont_have=True)


def ask(number: int) -> Want:
    return Want(cid(number).raw, tells_dont_have=True)


def cancel(number: int) -> Want:
    return Want(cid(number).raw, 0, cancels=True)


def among(*peers: str) -> Asking:
    """One circle among these neighbours."""
    core = Asking()
    core.begin(CIRCLE)
    for one in peers:
        core.came(one, 0.0)
    return core


def with_holder(*numbers: int) -> Asking:
    """Anna has shown to be a holder, and is asked for these; Bert and Carl have not been told of them."""
    core = among(ANNA, BERT, CARL)
    core.open(CIRCLE, cid(0), 0.0)
    core.hear(ANNA, haves(0), 0.0)
    core.hear(ANNA, blocks(0), 0.0)
    for one in (ANNA, BERT, CARL):
        core.take(one)
    for number in numbers:
        core.open(CIRCLE, cid(number), 0.0)
    return core


def test_everybody_is_asked_whether_they_have_the_first_block():
    core = among(ANNA, BERT)
    core.open(CIRCLE, cid(1), 0.0)
    assert list(core.talkative) == [ANNA, BERT]
    assert core.take(ANNA) == (look(1),)
    assert core.take(BERT) == (look(1),)
    assert core.take(ANNA) == ()
    assert not core.talkative


def test_the_first_who_has_it_is_asked_for_it_and_the_others_are_spared_when_it_came():
    core = among(ANNA, BERT, CARL)
    core.open(CIRCLE, cid(1), 0.0)
    for one in (ANNA, BERT):
        core.take(one)
    core.hear(BERT, haves(1), 0.1)
    core.hear(ANNA, haves(1), 0.1)
    assert core.take(BERT) == (ask(1),)
    assert core.take(ANNA) == ()
    assert core.hear(BERT, blocks(1), 0.2) == [(cid(1).multihash, data(1), frozenset({CIRCLE}))]
    assert core.take(ANNA) == (cancel(1),)
    assert core.take(BERT) == ()
    assert core.take(CARL) == (), "what was not yet said need not be taken back"


def test_a_holder_is_asked_for_the_next_blocks_and_nobody_else_hears_of_them():
    core = with_holder(1, 2)
    assert core.take(ANNA) == (ask(1), ask(2))
    assert core.take(BERT) == ()
    assert core.asked(CIRCLE) == 1


def test_blocks_are_shared_out_between_holders():
    core = with_holder()
    core.open(CIRCLE, cid(1), 0.0)
    core.take(ANNA)
    core.hear(ANNA, lacks(1), 0.0)
    core.hear(BERT, haves(1), 0.0)
    core.take(BERT)
    for number in range(10, 30):
        core.open(CIRCLE, cid(number), 0.0)
    assert min(len(core.take(ANNA)), len(core.take(BERT))) >= 5


def test_who_is_slow_is_asked_for_less():
    core = with_holder()
    core.open(CIRCLE, cid(1), 0.0)
    core.take(ANNA)
    core.hear(ANNA, lacks(1), 0.0)
    core.hear(BERT, haves(1), 0.0)
    core.take(BERT)
    core.hear(BERT, blocks(1), 4.0)  # Four seconds for one block.
    for number in range(10, 30):
        core.open(CIRCLE, cid(number), 4.0)
    assert len(core.take(ANNA)) >= 18


def test_who_does_not_have_it_is_passed_over_for_whoever_has():
    core = with_holder(1)
    core.take(ANNA)
    core.hear(ANNA, lacks(1), 0.0)
    assert core.take(BERT) == (look(1),)
    core.hear(BERT, haves(1), 0.0)
    assert core.take(BERT) == (ask(1),)
    core.open(CIRCLE, cid(2), 0.0)
    assert core.take(ANNA) + core.take(BERT) == (ask(2),)


def test_it_is_known_when_nobody_has_it():
    core = among(ANNA, BERT)
    core.open(CIRCLE, cid(1), 0.0)
    core.hear(ANNA, lacks(1), 0.0)
    assert not core.is_hopeless(cid(1).multihash)
    core.hear(BERT, lacks(1), 0.0)
    assert core.is_hopeless(cid(1).multihash)
    core.came(CARL, 1.0)
    assert not core.is_hopeless(cid(1).multihash)
    core.rests(CARL, 1.0)
    assert core.is_hopeless(cid(1).multihash)
    assert Asking().is_hopeless(cid(1).multihash) is False


def test_everybody_is_asked_again_after_a_while():
    core = among(ANNA)
    core.open(CIRCLE, cid(1), 0.0)
    core.take(ANNA)
    core.hear(ANNA, lacks(1), 0.0)
    core.tick(asking.REPEAT_S)
    assert core.take(ANNA) == ()
    core.tick(asking.REPEAT_S + 0.1)
    assert core.take(ANNA) == (look(1),)


def test_a_newcomer_is_asked_about_what_is_open():
    core = with_holder(*range(1, 100))
    dora = peer(4)
    core.came(dora, 1.0)
    assert core.take(dora) == tuple(look(number) for number in range(1, 1 + asking.GREETED_WITH_MAX))
    core.came(dora, 2.0)
    assert core.take(dora) == ()


def test_who_is_silent_is_passed_over_and_told_so():
    core = with_holder(1, 2)
    core.take(ANNA)
    core.tick(asking.PATIENCE_S)
    assert core.take(ANNA) == ()
    core.tick(asking.PATIENCE_S + 0.1)
    assert core.take(ANNA) == (cancel(1), cancel(2))
    assert core.take(BERT) == core.take(CARL) == (look(1), look(2))
    assert core.hear(ANNA, blocks(1), 6.0), "what comes late is welcome all the same"


def test_who_still_delivers_is_waited_for_but_not_for_ever():
    core = with_holder(*range(1, 40))
    core.take(ANNA)
    for second in range(1, 20):
        core.hear(ANNA, blocks(second), float(second))
        core.tick(float(second))
    assert core.take(ANNA) == ()
    core.hear(ANNA, blocks(20), 20.1)
    core.tick(20.1)
    assert core.take(BERT)[0] == look(21)


def test_who_goes_away_is_replaced():
    core = with_holder(1)
    core.take(ANNA)
    core.went(ANNA, 1.0)
    assert core.take(BERT) == (look(1),)
    core.hear(BERT, haves(1), 1.0)
    assert core.take(BERT) == (ask(1),)
    core.went(BERT, 1.0)
    assert core.take(CARL) == (look(1),)
    core.went(CARL, 1.0)
    core.came(ANNA, 2.0)
    assert core.take(ANNA) == (look(1),)


def test_who_rests_is_not_asked_until_it_comes_again():
    core = with_holder(1)
    core.rests(ANNA, 0.0)
    core.rests(BERT, 0.0)
    assert core.take(ANNA) == core.take(BERT) == ()
    assert core.take(CARL) == (look(1),)
    core.came(ANNA, 1.0)
    assert core.take(ANNA) == (look(1),)


def test_who_cannot_say_whether_it_has_a_block_is_asked_for_it_in_the_last_resort():
    core = among(ANNA, BERT)
    core.cannot_tell(ANNA)
    core.open(CIRCLE, cid(1), 0.0)
    assert core.take(ANNA) == ()
    assert core.take(BERT) == (look(1),)
    core.tick(asking.LAST_RESORT_S)
    assert core.take(ANNA) == ()
    core.tick(asking.LAST_RESORT_S + 0.1)
    assert core.take(ANNA) == (ask(1),)
    core.hear(ANNA, blocks(1), 2.0)
    core.open(CIRCLE, cid(2), 2.0)
    assert core.take(ANNA) == (ask(2),)


def test_the_end_of_a_circle_takes_its_wants_back_but_not_what_another_wants():
    core = with_holder(1, 2)
    core.begin(8)
    core.open(8, cid(2), 0.0)
    core.take(ANNA)
    core.end(CIRCLE)
    assert core.take(ANNA) == (cancel(1),)
    assert core.hear(ANNA, blocks(2), 0.1) == [(cid(2).multihash, data(2), frozenset({8}))]


def test_a_look_never_asks_for_the_block():
    core = among(ANNA)
    core.begin(9, only_looks=True)
    core.open(9, cid(1), 0.0)
    core.take(ANNA)
    core.hear(ANNA, haves(1), 0.0)
    core.tick(30.0)
    assert core.has_holder(9)
    assert ask(1) not in core.take(ANNA)
    core.open(CIRCLE, cid(1), 0.0)
    assert ask(1) in core.take(ANNA)


def test_a_block_is_known_by_its_hash_whatever_its_codec_and_version():
    core = among(ANNA)
    old = Cid.of(data(1), DAG_PB, 0)
    core.open(CIRCLE, old, 0.0)
    assert core.take(ANNA) == (Want(old.raw, have_is_enough=True, tells_dont_have=True),)
    assert core.hear(ANNA, Message(blocks=(Block(b"", data(1)),)), 0.0)


def test_blocks_that_come_twice_are_counted_and_forgiven_as_often_as_they_were_asked_for():
    core = with_holder(*range(1, 10))
    core.take(ANNA)
    core.went(BERT, 0.0)
    core.came(BERT, 0.0)
    core.take(BERT)
    core.hear(ANNA, blocks(*range(1, 10)), 0.0)
    core.take(BERT)
    assert core.hear(BERT, blocks(1, 2, 3), 0.1) == []
    assert (core.duplicates, core.unwanted) == (3, 0)


def test_who_repeats_a_block_for_ever_is_not_listened_to():
    core = with_holder(1)
    core.take(ANNA)
    core.hear(ANNA, blocks(1), 0.0)
    repeated = Message(blocks=(block(1),) * (asking.STRIKES_MAX + 2))
    with pytest.raises(MalformedMessage, match="nobody asked for"):
        core.hear(ANNA, repeated, 0.0)


def test_who_sends_what_nobody_asked_for_is_not_asked_any_more():
    core = with_holder(1)
    core.take(ANNA)
    core.hear(ANNA, blocks(*range(100, 100 + asking.STRIKES_MAX)), 0.0)
    with pytest.raises(MalformedMessage, match="nobody asked for"):
        core.hear(ANNA, blocks(200), 0.0)
    assert core.unwanted == asking.STRIKES_MAX + 1
    assert core.take(BERT) == (look(1),)
    core.went(ANNA, 1.0)
    core.came(ANNA, 1.0)
    assert core.take(ANNA) == ()
    core.went(ANNA, asking.BANNED_S + 1)
    core.came(ANNA, asking.BANNED_S + 1)
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
    assert core.unwanted == 1
    assert core.hear(ANNA, blocks(1), 0.0)


def test_blocks_of_who_is_no_neighbour_are_dropped():
    core = among()
    core.open(CIRCLE, cid(1), 0.0)
    assert core.hear(ANNA, blocks(1), 0.0) == []
    assert core.unwanted == 1


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


def test_wants_are_told_in_messages_of_bounded_size():
    core = with_holder(*range(1, 2000))
    assert len(core.take(ANNA)) == asking.WANTS_PER_MESSAGE
    assert ANNA in core.talkative


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


def end(core: Asking) -> None:
    core.end(CIRCLE)
    core.begin(CIRCLE)


def heard(core: Asking, who: PeerId, message: Message, now: float) -> None:
    with contextlib.suppress(MalformedMessage):
        core.hear(who, message, now)


STEPS: dict[str, Callable[[Asking, PeerId, int, float], object]] = {
    "came": lambda core, who, number, now: core.came(who, now),
    "went": lambda core, who, number, now: core.went(who, now),
    "rests": lambda core, who, number, now: core.rests(who, now),
    "mute": lambda core, who, number, now: core.cannot_tell(who),
    "open": lambda core, who, number, now: core.open(CIRCLE, cid(number), now),
    "end": lambda core, who, number, now: end(core),
    "blocks": lambda core, who, number, now: heard(core, who, blocks(number), now),
    "haves": lambda core, who, number, now: heard(core, who, haves(number), now),
    "lacks": lambda core, who, number, now: heard(core, who, lacks(number), now),
    "take": lambda core, who, number, now: core.take(who),
    "tick": lambda core, who, number, now: core.tick(now),
}


@given(
    st.lists(st.tuples(st.sampled_from(sorted(STEPS)), st.sampled_from([ANNA, BERT, CARL]), st.integers(0, 5))),
    st.sets(st.integers(0, 5), min_size=1),
)
def test_whatever_peers_did_in_any_order_an_honest_one_can_still_help(
    steps: list[tuple[str, PeerId, int]], wanted: set[int]
):
    core, now = Asking(), 0.0
    core.begin(CIRCLE)
    for step, who, number in steps:
        now += number
        STEPS[step](core, who, number, now)
    end(core)
    for number in sorted(wanted):
        core.open(CIRCLE, cid(number), now)
    dora = peer(4)
    core.came(dora, now)
    asked: set[bytes] = set()
    for _ in range(8):
        core.take(dora)
        core.hear(dora, haves(*wanted), now)
        asked.update(want.cid for want in core.take(dora) if not want.have_is_enough and not want.cancels)
        now += asking.OVERDUE_S + 1
        core.tick(now)
    assert asked == {cid(number).raw for number in wanted}
    assert {multihash for multihash, _, _ in core.hear(dora, blocks(*wanted), now)} == {
        cid(number).multihash for number in wanted
    }
