"""Whether the bids of a job are enough, whose results can be compared, and who can start at once. Pure.

Bids of nodes that would have to wait for room are used when there are too few others. How long to hear others first is
the wait that they could save: so it never takes more than twice as long as it would have without.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Set

from node.journal.records import Answer
from node.model import JobSpec, PeerId
from node.requester.ends import most_first
from node.requester.life import Bidding


def ready(state: Bidding, spec: JobSpec) -> Bidding:
    """Without the bids of nodes that would have to wait, unless the deal has lots alone decide."""
    if not spec.deal.ready_first:
        return state
    return Bidding(tuple(answer for answer in state.answers if answer.code is not None or not answer.wait_s))


def patience_s(state: Bidding, spec: JobSpec) -> float:
    """How long to hear others, where bids are enough with those of nodes that would have to wait."""
    return sorted(bid.wait_s for bid in comparable(state, spec))[spec.deal.concurrency - 1]


def have_all_answered(state: Bidding, asked: Set[PeerId]) -> bool:
    """Whether nobody who was asked may still bid."""
    return len(state.answers) >= len(asked) and asked <= {answer.peer for answer in state.answers}


def comparable(state: Bidding, spec: JobSpec) -> tuple[Answer, ...]:
    """The bids that lots may be drawn among, in the order they came.

    Where results are compared: those of the engine that most of them have; of two such, the one heard of first.
    """
    bids = tuple(answer for answer in state.answers if answer.code is None)
    if spec.verifier == "noop" or not bids:
        return bids
    most = Counter(bid.runs_with for bid in bids).most_common(1)[0][0]
    return tuple(bid for bid in bids if bid.runs_with == most)


def is_enough(state: Bidding, spec: JobSpec) -> bool:
    """Whether lots can be drawn."""
    deal = spec.deal
    return len(state.bidders) >= deal.bids_needed and len(comparable(state, spec)) >= deal.concurrency


def too_few(state: Bidding, spec: JobSpec) -> str:
    """Why bidding failed: how many came, how many it takes, and what the others said."""
    deal = spec.deal
    heard, declined = len(state.bidders), [answer for answer in state.answers if answer.code is not None]
    text = f"{heard} of the {deal.bids_needed} bids needed came within {deal.bid_window_s:g} s"
    if heard >= deal.bids_needed:
        engines = Counter[str | None](answer.runs_with for answer in state.answers if answer.code is None)
        text = f"results can be compared only of one engine, and bids are of several: {_counted(engines)}"
    if not declined:
        return f"{text}; no other node answered"
    return f"{text}; {_counted(Counter(answer.reason or answer.code for answer in declined), ' declined')}"


def _counted(reasons: Counter[str | None], what: str = "") -> str:
    found = sorted(reasons.items(), key=most_first)
    return "; ".join(f"{count}{what}: {reason}" for reason, count in found)
