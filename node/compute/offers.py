"""Answering offers: a bid, or why not. A shell around ``admission`` and ``policy``.

What costs nothing is answered where it stands; looking for inputs and asking the operator's probe is a piece of work of
its own, of which each requester has a limited number and weight, while it is there. Nothing is reserved by a bid.
Does not live here: what is given to this node then (``node.compute.role``).
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from functools import partial

import trio

from node.compute.account import Accounts
from node.compute.admission import (
    Abilities,
    Refusal,
    Terms,
    known_terms,
    looked_at,
    refused_at_sight,
    refused_for_disk,
    refused_for_size,
    wait_for_room,
)
from node.compute.capacity import need_of, slots
from node.compute.policy import asked
from node.compute.queue import Queue
from node.messages import Bid, Decline, Offer
from node.model import JobId, PeerId
from node.transport.base import Transport
from node.verifier.proposal import sealing_key_for

log = logging.getLogger("quorate.compute")

Begin = Callable[[Callable[[], Awaitable[object]]], None]


class Offers:
    """``begin`` starts a piece of work; ``accounts`` and ``queue`` are the role's."""

    def __init__(self, transport: Transport, able: Abilities, accounts: Accounts, queue: Queue, begin: Begin) -> None:
        self._transport = transport
        self._able = able
        self._accounts = accounts
        self._queue = queue
        self._begin = begin

    def received(self, sender: PeerId, offer: Offer) -> None:
        """An offer of a requester."""
        refused = _refused_for_key(sender) or refused_at_sight(sender, offer, self._able)
        if refused is not None:
            self._decline(sender, offer, refused)
        elif (terms := known_terms(offer.spec, self._able)) is not None:
            self._answer(sender, offer, self._ruled(offer, terms, self._waits(sender, offer, terms)))
        elif (overburdened := self._accounts.of(sender).overburdened(offer)) is not None:
            self._decline(sender, offer, Refusal("full", overburdened))
        else:
            look = trio.CancelScope()
            self._accounts.of(sender).consider(offer, look.cancel)
            self._begin(partial(self._consider, sender, offer, look))

    async def _consider(self, sender: PeerId, offer: Offer, look: trio.CancelScope) -> None:
        """``look`` is cancelled when the requester leaves: nobody waits for the answer, and the offer is over."""
        account = self._accounts.of(sender)
        answer: Bid | Refusal | None = None
        try:
            with look:
                found = await looked_at(offer.spec, self._able)
                if not look.cancel_called:
                    answer = found if isinstance(found, Refusal) else await self._judged(sender, offer, found)
        finally:
            account.considered(look.cancel)
            self._accounts.forget_unused(sender)
        if answer is not None and not look.cancel_called:
            self._answer(sender, offer, answer)

    async def _judged(self, sender: PeerId, offer: Offer, terms: Terms) -> Bid | Refusal:
        self._accounts.of(sender).promise(JobId(offer.job), terms.to_fetch)
        refused = await refused_for_disk(self._accounts.promises.total_bytes, self._able) if terms.to_fetch else None
        answer = refused or self._ruled(offer, terms, self._waits(sender, offer, terms))
        probe = self._able.policy.probe
        if probe is None or isinstance(answer, Refusal):
            return answer
        declined = await probe.refusal(asked(sender, offer), sender)
        if declined is not None:
            return Refusal("policy", declined)
        return self._bid(offer, terms, self._waits(sender, offer, terms))  # Room may have gone meanwhile.

    def _waits(self, sender: PeerId, offer: Offer, terms: Terms) -> float | Refusal:
        too_much = refused_for_size(offer.spec, terms.fetched_bytes, self._able)
        return too_much or wait_for_room(sender, offer.spec, self._queue, trio.current_time())

    def _ruled(self, offer: Offer, terms: Terms, waits: float | Refusal) -> Bid | Refusal:
        """The built-in rule, which is the last check, and none where there is a probe."""
        policy = self._able.policy
        if policy.probe is None and not isinstance(waits, Refusal):
            against = policy.refused_by_rule(offer.spec, fetches=terms.fetches_data)
            waits = waits if against is None else Refusal("policy", against)
        return self._bid(offer, terms, waits)

    def _bid(self, offer: Offer, terms: Terms, waits: float | Refusal) -> Bid | Refusal:
        if isinstance(waits, Refusal):
            return waits
        at_once = slots(need_of(offer.spec.resources), self._queue.total)
        holds = bool(offer.spec.inputs) and not terms.to_fetch
        return Bid(offer.job, at_once, holds, terms.runs_with, waits)

    def _answer(self, sender: PeerId, offer: Offer, answer: Bid | Refusal) -> None:
        if isinstance(answer, Refusal):
            self._decline(sender, offer, answer)
            return
        self._accounts.of(sender).bid_on(offer)
        log.debug("bid", extra={"job": offer.job, "requester": sender, "wait_s": round(answer.wait_s, 1)})
        self._transport.send(sender, answer)

    def _decline(self, sender: PeerId, offer: Offer, refused: Refusal) -> None:
        account = self._accounts.find(sender)
        if account is not None:
            account.promise(JobId(offer.job), {})
            self._accounts.forget_unused(sender)
        log.info("declined", extra={"job": offer.job, "requester": sender, "reason": refused.reason})
        self._transport.send(sender, Decline(offer.job, refused.code, refused.reason))


def _refused_for_key(requester: PeerId) -> Refusal | None:
    """Not every key that can sign can be sealed to, and then its executions could never propose."""
    try:
        sealing_key_for(requester)
    except ValueError as error:
        return Refusal("policy", str(error))
    return None
