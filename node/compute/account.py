"""What one requester has of this node: its offers that we bid on, those being looked at, its executions. Pure.

Every bound is for each requester by itself, so that nobody crowds out anybody else's. An account outlives its
requester's session for as long as something of it is still being cleared up.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from node import limits
from node.messages import Offer
from node.model import JobId, JobSpec, shown

_SPEC_BYTES = 1 * limits.KiB  # What any spec takes in memory,
_ITEM_BYTES = 64  # and each argument, variable, input or output of it, before its text.


@dataclass(slots=True)
class Account:
    """One requester's. ``session`` counts its sessions: what was begun in an earlier one means nothing any more."""

    session: int = 0
    considering: int = 0  # offers that are being looked at
    executions: int = 0  # until nothing of them is left here
    execution_bytes: int = 0  # of their specs
    _offers: OrderedDict[JobId, Offer] = field(default_factory=OrderedDict)
    _offer_bytes: int = 0

    @property
    def is_unused(self) -> bool:
        """Whether there is nothing to remember."""
        return not (self._offers or self.considering or self.executions)

    def bid_on(self, offer: Offer) -> None:
        """Remember an offer until it is taken up; the oldest ones that were not make room for it."""
        self.take(JobId(offer.job))
        self._offers[JobId(offer.job)] = offer
        self._offer_bytes += weight(offer.spec)
        while self._offer_bytes > limits.OFFER_BYTES_PER_REQUESTER and len(self._offers) > 1:
            self.take(next(iter(self._offers)))

    def take(self, job: JobId) -> Offer | None:
        """The offer, once: it is accepted, or over."""
        offer = self._offers.pop(job, None)
        if offer is not None:
            self._offer_bytes -= weight(offer.spec)
        return offer

    def leave(self) -> None:
        """Its session is over, and with it every offer."""
        self.session += 1
        self._offers.clear()
        self._offer_bytes = 0

    def refusal(self, spec: JobSpec) -> str | None:
        """Why no further execution of this requester may begin; None when it may."""
        if self.executions >= limits.EXECUTIONS_PER_REQUESTER:
            return f"{self.executions} executions of yours are here already"
        if self.execution_bytes + weight(spec) > limits.OFFER_BYTES_PER_REQUESTER:
            return f"{self.executions} executions of yours are here already, with large specs"
        return None

    def begin(self, spec: JobSpec) -> None:
        """One more execution."""
        self.executions += 1
        self.execution_bytes += weight(spec)

    def end(self, spec: JobSpec) -> None:
        """Nothing of an execution is left."""
        self.executions -= 1
        self.execution_bytes -= weight(spec)


def weight(spec: JobSpec) -> int:
    """About the bytes of memory that a spec takes."""
    engine = spec.engine
    items = len(engine.args) + 2 * len(engine.env) + len(spec.inputs) + len(spec.outputs)
    text = sum(map(len, engine.args)) + sum(len(name) + len(value) for name, value in engine.env.items())
    text += sum(len(shown(ref)) + len(ref.path) for ref in spec.inputs) + sum(len(each.path) for each in spec.outputs)
    return _SPEC_BYTES + items * _ITEM_BYTES + text
