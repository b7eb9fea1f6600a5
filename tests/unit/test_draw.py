"""The draw: repeatable by anyone who has the salt, and fair."""

from __future__ import annotations

import hashlib
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.model import Draw, JobId, PeerId
from node.verifier.draw import draw

JOB = JobId("0123456789abcdef" * 2)
SALT = "5a" * 32
PEERS = tuple(PeerId(f"peer-{index}") for index in range(5))


def test_the_order_is_the_documented_one() -> None:
    """What ``printf '%s|%s|0|%s' SALT JOB PEER | sha256sum | sort`` gives."""
    assert draw(PEERS, SALT, JOB, 0, 5).chosen == ("peer-2", "peer-0", "peer-4", "peer-1", "peer-3")


def test_the_first_places_are_chosen_among_the_sorted_bidders() -> None:
    everyone = draw(PEERS, SALT, JOB, 0, 5)
    drawn = draw(reversed(PEERS), SALT, JOB, 0, 3)
    assert drawn == Draw(bidders=PEERS, salt=SALT, chosen=everyone.chosen[:3])
    assert draw(PEERS, SALT, JOB, 0, 0).chosen == ()


def test_another_salt_job_or_shard_is_another_draw() -> None:
    many = [PeerId(f"peer-{index}") for index in range(20)]
    orders = {
        draw(many, salt, job, shard, 20).chosen
        for salt in (SALT, "5b" * 32)
        for job in (JOB, JobId("f" * 32))
        for shard in (0, 1)
    }
    assert len(orders) == 8


@given(st.permutations(PEERS), st.integers(0, 5))
def test_the_order_of_the_bids_buys_nothing(bids: list[PeerId], count: int) -> None:
    assert draw(bids, SALT, JOB, 0, count) == draw(PEERS, SALT, JOB, 0, count)


def test_every_bidder_is_chosen_about_equally_often() -> None:
    salts = (hashlib.sha256(str(index).encode()).hexdigest() for index in range(2000))
    firsts = Counter(draw(PEERS, salt, JOB, 0, 1).chosen[0] for salt in salts)
    assert all(320 <= firsts[peer] <= 480 for peer in PEERS)


@pytest.mark.parametrize(("bidders", "count"), [((PEERS[0], PEERS[0]), 1), (PEERS, 6), (PEERS, -1)])
def test_what_cannot_be_drawn_is_a_bug(bidders: tuple[PeerId, ...], count: int) -> None:
    with pytest.raises(AssertionError):
        draw(bidders, SALT, JOB, 0, count)
