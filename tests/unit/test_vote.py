"""The vote: the reference's table, then every shape of ballot."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.model import Deal, DirHash, PeerId
from node.verifier.base import Verifier
from node.verifier.deterministic import Deterministic
from node.verifier.noop import Noop
from node.verifier.vote import Group, NotVerified, Unchecked, Verified, grouped, resolved, tally

RIGHT, WRONG, ODD, NONE = DirHash("h1:right"), DirHash("h1:wrong"), DirHash("h1:odd"), DirHash("")
VERIFIERS: tuple[Verifier, ...] = (Deterministic(), Noop())


def ballot(*hashes: DirHash) -> dict[PeerId, DirHash]:
    return {PeerId(f"n{index}"): value for index, value in enumerate(hashes)}


def groups_of(sizes: str) -> dict[PeerId, DirHash]:
    """``2-1-1``: two of one opinion, two alone with theirs."""
    return ballot(*(DirHash(f"h1:{group}") for group, size in enumerate(sizes.split("-")) for _ in range(int(size))))


@st.composite
def ballots(draw: st.DrawFn) -> tuple[dict[PeerId, DirHash], int]:
    cast = draw(st.lists(st.sampled_from([RIGHT, WRONG, ODD, NONE]), max_size=9))
    return ballot(*cast), draw(st.integers(0, 9))


@pytest.mark.parametrize(
    ("nodes", "bad", "confidence", "verified"),
    [(1, 0, 0, 0), (3, 0, 0, 3), (3, 1, 0, 2), (2, 1, 0, 0), (5, 2, 4, 0)],
)
def test_the_table_of_the_reference(nodes: int, bad: int, confidence: int, verified: int) -> None:
    votes = ballot(*[RIGHT] * (nodes - bad), *[WRONG] * bad)
    verdict = tally(votes, confidence=confidence)
    winners = verdict.winners if isinstance(verdict, Verified) else ()
    assert len(winners) == verified
    assert sum(len(group.peers) for group in verdict.groups) == nodes


@pytest.mark.parametrize(
    ("sizes", "confidence", "verified"),
    [
        ("2-1-1-1", 0, True),
        ("2-1-1-1", 2, True),
        ("2-1-1-1", 3, False),
        ("2-2-1", 0, False),
        ("1-1", 0, False),
        ("1", 0, False),
        ("1", 1, False),
        ("2", 0, True),
        ("4-1", 4, True),
        ("3-2", 4, False),
        ("5", 5, True),
        ("3-2", 3, True),
        ("1-1-1-2", 0, True),
    ],
)
def test_groups_win_by_size_and_confidence(sizes: str, confidence: int, verified: bool) -> None:
    assert isinstance(tally(groups_of(sizes), confidence=confidence), Verified) is verified


def test_a_verdict_names_the_winners_and_everybodys_opinion() -> None:
    assert tally(ballot(WRONG, RIGHT, NONE, RIGHT), confidence=2) == Verified(
        RIGHT,
        (PeerId("n1"), PeerId("n3")),
        (
            Group(RIGHT, (PeerId("n1"), PeerId("n3"))),
            Group(NONE, (PeerId("n2"),)),
            Group(WRONG, (PeerId("n0"),)),
        ),
    )


@pytest.mark.parametrize(
    ("votes", "confidence", "why"),
    [
        (ballot(), 0, "no node proposed"),
        (ballot(RIGHT), 1, "only one node"),
        (ballot(RIGHT, RIGHT, WRONG, WRONG, ODD), 0, "a draw: 2 groups of 2"),
        (ballot(RIGHT, WRONG, ODD), 0, "a draw: 3 groups of 1"),
        (ballot(NONE, NONE, RIGHT), 0, "could not be opened"),
        (ballot(NONE, NONE, RIGHT, RIGHT), 0, "a draw"),
        (ballot(RIGHT, RIGHT, RIGHT, WRONG, WRONG), 4, "3 of 5 agree where 4 must"),
    ],
)
def test_whoever_does_not_win_learns_why(votes: dict[PeerId, DirHash], confidence: int, why: str) -> None:
    verdict = tally(votes, confidence=confidence)
    assert isinstance(verdict, NotVerified)
    assert why in verdict.reason
    assert verdict.groups == grouped(votes)


def test_proposals_that_did_not_open_do_not_spoil_a_win() -> None:
    assert isinstance(tally(ballot(NONE, RIGHT, RIGHT), confidence=2), Verified)


@given(ballots())
def test_a_win_is_what_it_says(cast: tuple[dict[PeerId, DirHash], int]) -> None:
    votes, confidence = cast
    verdict = tally(votes, confidence=confidence)
    sizes = Counter(votes.values())
    if isinstance(verdict, Verified):
        assert verdict.hash
        assert len(votes) > 1
        assert {peer for peer, value in votes.items() if value == verdict.hash} == set(verdict.winners)
        assert len(verdict.winners) >= confidence
        assert all(size < sizes[verdict.hash] for value, size in sizes.items() if value != verdict.hash)
    else:
        ahead = [size for value, size in sizes.most_common(2)]
        leader = sizes.most_common(1)[0][0] if sizes else NONE
        tied = len(ahead) == 2 and ahead[0] == ahead[1]
        assert len(votes) < 2 or tied or leader == NONE or ahead[0] < confidence


@given(ballots())
def test_groups_hold_everyone_once_in_one_order(cast: tuple[dict[PeerId, DirHash], int]) -> None:
    groups = grouped(cast[0])
    assert sorted(peer for group in groups for peer in group.peers) == sorted(cast[0])
    assert all(list(group.peers) == sorted(group.peers) for group in groups)
    assert list(groups) == sorted(groups, key=lambda group: (-len(group.peers), group.hash))


@given(ballots(), st.integers())
def test_the_order_of_arrival_does_not_matter(cast: tuple[dict[PeerId, DirHash], int], seed: int) -> None:
    votes, confidence = cast
    shuffled = list(votes.items())
    Random(seed).shuffle(shuffled)
    assert tally(dict(shuffled), confidence=confidence) == tally(votes, confidence=confidence)


@given(ballots())
def test_more_confidence_never_verifies_more(cast: tuple[dict[PeerId, DirHash], int]) -> None:
    votes, confidence = cast
    if isinstance(tally(votes, confidence=confidence + 1), Verified):
        assert isinstance(tally(votes, confidence=confidence), Verified)


@pytest.mark.parametrize(
    ("concurrency", "confidence", "needed"),
    [(1, None, 1), (2, None, 2), (3, None, 2), (4, None, 3), (5, None, 3), (5, 0, 0), (5, 4, 4)],
)
def test_confidence_is_the_majority_unless_it_is_given(concurrency: int, confidence: int | None, needed: int) -> None:
    assert resolved(Deal(concurrency=concurrency, confidence=confidence)) == needed


def test_the_deterministic_verifier_judges_by_the_deal() -> None:
    votes = groups_of("2-1-1-1")
    assert isinstance(Deterministic().judge(votes, Deal(concurrency=5, confidence=0)), Verified)
    assert isinstance(Deterministic().judge(votes, Deal(concurrency=5)), NotVerified)
    assert isinstance(Deterministic().judge(groups_of("3-2"), Deal(concurrency=5)), Verified)


def test_the_noop_verifier_takes_the_first_that_opened_and_calls_it_unchecked() -> None:
    votes = ballot(NONE, WRONG, RIGHT, RIGHT)
    assert Noop().judge(votes, Deal()) == Unchecked(WRONG, PeerId("n1"), grouped(votes))
    assert isinstance(Noop().judge(ballot(RIGHT), Deal()), Unchecked)
    assert isinstance(Noop().judge(ballot(NONE, NONE), Deal()), NotVerified)
    assert isinstance(Noop().judge(ballot(), Deal()), NotVerified)


@given(ballots())
def test_only_the_verifier_that_compares_ever_verifies(cast: tuple[dict[PeerId, DirHash], int]) -> None:
    assert not isinstance(Noop().judge(cast[0], Deal()), Verified)
    assert not isinstance(Deterministic().judge(cast[0], Deal(concurrency=9)), Unchecked)


def test_verifiers_have_the_names_of_job_specs() -> None:
    assert [verifier.name for verifier in VERIFIERS] == ["deterministic", "noop"]
