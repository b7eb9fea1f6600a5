"""Neighbours may come, go, claim, deny, deliver and fall silent in any order."""

from __future__ import annotations

from collections.abc import Callable

from doubles.peers import peer
from doubles.wanting import ANNA, BERT, CARL, CIRCLE, blocks, cid, haves, lacks
from hypothesis import given
from hypothesis import strategies as st

from node.model import PeerId
from node.storage.ipfs.bitswap import asking
from node.storage.ipfs.bitswap.asking import Asking


def end(core: Asking) -> None:
    core.end(CIRCLE, 0.0)
    core.begin(CIRCLE)


STEPS: dict[str, Callable[[Asking, PeerId, int, float], object]] = {
    "came": lambda core, who, number, now: core.came(who, now),
    "went": lambda core, who, number, now: core.went(who, now),
    "rests": lambda core, who, number, now: core.rests(who, now),
    "mute": lambda core, who, number, now: core.cannot_tell(who),
    "open": lambda core, who, number, now: core.open(CIRCLE, cid(number), now),
    "end": lambda core, who, number, now: end(core),
    "blocks": lambda core, who, number, now: core.hear(who, blocks(number), now),
    "haves": lambda core, who, number, now: core.hear(who, haves(number), now),
    "lacks": lambda core, who, number, now: core.hear(who, lacks(number), now),
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
