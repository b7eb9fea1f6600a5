"""What a compute node's message means to a job: proposals are opened here, peers' words are cut here."""

from __future__ import annotations

import logging
from typing import assert_never

from node.errors import BadProposal
from node.identity import Identity
from node.messages import Bid, Decline, Failed, Proposed, Started
from node.model import ExecutionId, JobId, PeerId, cut
from node.requester.life import Answered, Began, Event, Proposal, RunFailed
from node.verifier.proposal import open_proposal

log = logging.getLogger("quorate.requester")

Inbound = Bid | Decline | Started | Proposed | Failed


def event_of(identity: Identity, job: JobId, sender: PeerId, message: Inbound) -> Event:
    """The event; a proposal that does not open is one that counts as the empty hash."""
    match message:
        case Bid():
            return Answered(sender)
        case Decline(_, code, reason):
            return Answered(sender, code, cut(reason))
        case Started(execution):
            return Began(sender, ExecutionId(execution))
        case Proposed(execution, sealed):
            return _opened(identity, job, sender, ExecutionId(execution), sealed)
        case Failed(execution, code, reason):
            return RunFailed(sender, ExecutionId(execution), code, cut(reason))
        case _:
            assert_never(message)


def _opened(identity: Identity, job: JobId, sender: PeerId, execution: ExecutionId, sealed: bytes) -> Proposal:
    try:
        signed = open_proposal(identity, sealed, sender=sender, job=job, shard=0, execution=execution)
    except BadProposal as error:
        log.warning("bad_proposal", extra={"job": job, "peer": sender, "why": str(error)})
        return Proposal(sender, execution, None, cut(str(error)))
    return Proposal(sender, execution, signed)
