"""Who is asked for which block."""

from __future__ import annotations

from doubles.peers import peer
from doubles.wanting import (
    ANNA,
    BERT,
    CARL,
    CIRCLE,
    among,
    ask,
    blocks,
    cancel,
    cid,
    data,
    haves,
    lacks,
    look,
    with_holder,
)

from node.storage.ipfs.bitswap import asking, neighbour
from node.storage.ipfs.bitswap.asking import Asking
from node.storage.ipfs.bitswap.wire import Block, Message, Presence, Want
from node.storage.ipfs.cid import DAG_PB, RAW, Cid


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
    assert not core.is_denied(cid(1).multihash)
    core.hear(BERT, lacks(1), 0.0)
    assert core.is_denied(cid(1).multihash)
    core.came(CARL, 1.0)
    assert not core.is_denied(cid(1).multihash)
    core.rests(CARL, 1.0)
    assert core.is_denied(cid(1).multihash)
    assert not core.is_denied(cid(2).multihash)


def test_the_last_hope_is_asked_again_soon():
    core = with_holder(1)
    core.take(ANNA)
    now = asking.PATIENCE_S + 0.1
    core.tick(now)
    core.take(ANNA)
    core.tick(now + asking.RETRY_S)
    assert core.take(ANNA) == ()
    core.tick(now + asking.RETRY_S + 0.1)
    assert core.take(ANNA) == (ask(1),)


def test_silence_is_no_denial():
    core = with_holder(1)
    core.went(BERT, 0.0)
    core.went(CARL, 0.0)
    core.tick(asking.PATIENCE_S + 1)
    assert not core.is_denied(cid(1).multihash)


def test_it_is_known_when_nobody_is_there():
    core = among(ANNA)
    core.open(CIRCLE, cid(1), 0.0)
    assert not core.is_alone
    core.rests(ANNA, 0.0)
    assert core.is_alone
    assert not core.is_denied(cid(1).multihash)
    assert Asking().is_alone


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
    core = with_holder(*range(1, 30))
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
    core.end(CIRCLE, 0.0)
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


def test_a_holder_is_not_asked_for_more_than_it_may_send_at_once_and_for_the_rest_when_it_did():
    core = with_holder(*range(1, 100))
    most = neighbour.MESSAGES_MAX
    kubo_message = Cid.of(bytes(neighbour.KUBO_MESSAGE_BYTES), RAW)
    first = core.take(ANNA)
    assert len(first) > most, "blocks are as small here as the first one was"
    for number in range(1, 1 + len(first)):
        core.hear(ANNA, blocks(number), 0.0)
    assert core.take(ANNA) == tuple(ask(number) for number in range(1 + len(first), 100))
    large = among(BERT)
    large.open(CIRCLE, kubo_message, 0.0)
    large.hear(BERT, Message(presences=(Presence(kubo_message.raw, has=True),)), 0.0)
    for number in range(50):
        large.open(CIRCLE, cid(number), 0.0)
    assert len(large.take(BERT)) == most
    large.open(CIRCLE, cid(49), 0.0, urgent=True)
    assert large.take(BERT) == (ask(49),)
    large.hear(BERT, lacks(0, 1), 0.0)
    assert large.take(BERT)[-1] in (ask(most), ask(most - 1))


def test_what_waits_is_forgotten_with_its_circle():
    core = with_holder(*range(1, 100))
    core.end(CIRCLE, 0.0)
    core.begin(CIRCLE)
    core.open(CIRCLE, cid(1), 0.0)
    core.hear(BERT, haves(1), 0.0)
    core.tick(1.0)
    taken = [want for one in (ANNA, BERT, CARL) for want in core.take(one) if not want.cancels]
    assert {want.cid for want in taken} == {cid(1).raw}


def test_what_waits_for_a_holder_that_goes_is_asked_of_others():
    core = with_holder(*range(1, 3000))
    core.take(ANNA)
    core.went(ANNA, 0.0)
    asked = {want.cid for _ in range(10) for want in core.take(BERT)}
    assert asked == {cid(number).raw for number in range(1, 3000)}


def test_wants_are_told_in_messages_of_bounded_size():
    core = among(ANNA)
    for number in range(1_000):
        core.open(CIRCLE, cid(number), 0.0)
    assert len(core.take(ANNA)) == asking.WANTS_PER_MESSAGE
    assert ANNA in core.talkative
