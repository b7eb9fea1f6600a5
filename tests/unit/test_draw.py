"""The draw: repeatable by anyone who has the salt, and fair; nodes that hold the data come first."""

from __future__ import annotations

import hashlib
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.model import Draw, JobId, PeerId
from node.verifier.draw import chosen, lots

JOB = JobId("0123456789abcdef" * 2)
SALT = "5a" * 32
PEERS = tuple(PeerId(f"peer-{index}") for index in range(5))
NOBODY_HOLDS = lots(PEERS, (), SALT)
ORDER = ("peer-2", "peer-0", "peer-4", "peer-1", "peer-3")


def test_the_order_is_the_documented_one() -> None:
    """What ``printf '%s|%s|0|%s' SALT JOB PEER | sha256sum | sort`` gives."""
    assert chosen(NOBODY_HOLDS, JOB, 0, 5) == ORDER


def test_the_first_places_are_chosen_among_the_sorted_bidders() -> None:
    assert lots(reversed(PEERS), reversed(PEERS[:2]), SALT) == Draw(bidders=PEERS, holders=PEERS[:2], salt=SALT)
    assert chosen(NOBODY_HOLDS, JOB, 0, 3) == ORDER[:3]
    assert chosen(NOBODY_HOLDS, JOB, 0, 0) == ()


@pytest.mark.parametrize(
    ("holders", "order"),
    [
        (("peer-3",), ("peer-3", "peer-2", "peer-0")),
        (("peer-3", "peer-1"), ("peer-1", "peer-3", "peer-2")),
        (("peer-1", "peer-3", "peer-4"), ("peer-4", "peer-1", "peer-3")),
        (("peer-0", "peer-1", "peer-3", "peer-4"), ("peer-0", "peer-4", "peer-1")),
    ],
)
def test_holders_come_first_and_are_drawn_among_themselves(holders: tuple[PeerId, ...], order: tuple[str, ...]) -> None:
    assert chosen(lots(PEERS, holders, SALT), JOB, 0, 3) == order


def test_another_salt_job_or_shard_is_another_draw() -> None:
    many = [PeerId(f"peer-{index}") for index in range(20)]
    orders = {
        chosen(lots(many, (), salt), job, shard, 20)
        for salt in (SALT, "5b" * 32)
        for job in (JOB, JobId("f" * 32))
        for shard in (0, 1)
    }
    assert len(orders) == 8


@given(st.permutations(PEERS), st.sets(st.sampled_from(PEERS)), st.integers(0, 5))
def test_the_order_of_the_bids_buys_nothing(bids: list[PeerId], holders: set[PeerId], count: int) -> None:
    drawn = lots(bids, sorted(holders, reverse=True), SALT)
    nodes = chosen(drawn, JOB, 3, count)
    assert nodes == chosen(lots(PEERS, holders, SALT), JOB, 3, count)
    assert len(set(nodes)) == count
    assert nodes == chosen(drawn, JOB, 3, 5)[:count]
    assert [node in holders for node in nodes] == sorted((node in holders for node in nodes), reverse=True)


def test_every_bidder_is_chosen_about_equally_often() -> None:
    salts = (hashlib.sha256(str(index).encode()).hexdigest() for index in range(2000))
    firsts = Counter(chosen(lots(PEERS, (), salt), JOB, 0, 1)[0] for salt in salts)
    assert all(320 <= firsts[peer] <= 480 for peer in PEERS)


@pytest.mark.parametrize(
    ("bidders", "holders", "count"),
    [((PEERS[0], PEERS[0]), (), 1), (PEERS, (), 6), (PEERS, (), -1), (PEERS[:2], PEERS[2:3], 1)],
)
def test_what_cannot_be_drawn_is_a_bug(bidders: tuple[PeerId, ...], holders: tuple[PeerId, ...], count: int) -> None:
    with pytest.raises(AssertionError):
        chosen(lots(bidders, holders, SALT), JOB, 0, count)


@pytest.mark.parametrize(
    ("holders", "waiting", "order"),
    [
        ((), ("peer-2",), ("peer-0", "peer-4", "peer-1", "peer-3", "peer-2")),
        ((), PEERS, ORDER),
        (("peer-2",), ("peer-2",), ("peer-0", "peer-4", "peer-1", "peer-3", "peer-2")),
        (("peer-1",), ("peer-2", "peer-0"), ("peer-1", "peer-4", "peer-3", "peer-2", "peer-0")),
        (("peer-3", "peer-0"), ("peer-2", "peer-0"), ("peer-3", "peer-4", "peer-1", "peer-0", "peer-2")),
    ],
)
def test_who_has_to_wait_comes_last_and_among_either_the_holders_first(holders, waiting, order) -> None:
    drawn = lots(PEERS, holders, SALT, reversed(waiting))
    assert drawn.waiting == tuple(sorted(waiting))
    for count in range(6):
        assert chosen(drawn, JOB, 0, count) == order[:count]
