"""What a compute node's message means to a job: proposals are opened here, peers' words are cut here."""

from __future__ import annotations

import logging
from typing import assert_never

from msgspec import structs

from node.errors import BadProposal
from node.identity import Identity
from node.messages import Bid, Decline, Failed, Progress, Proposed, Queued, Started
from node.model import ExecutionId, JobId, PeerId, cut
from node.requester.life import Answered, Began, Proposal, RunFailed, ShardEvent, Waits
from node.verifier.proposal import open_proposal

log = logging.getLogger("quorate.requester")

Inbound = Bid | Decline | Queued | Started | Progress | Proposed | Failed


def answer_of(sender: PeerId, message: Bid | Decline) -> Answered:
    """What a node answered to the offer."""
    match message:
        case Bid(_, slots, holds, runs_with, wait_s):
            return Answered(sender, slots=slots, holds=holds, runs_with=runs_with, wait_s=wait_s)
        case Decline(_, code, reason):
            return Answered(sender, code, cut(reason))
        case _:
            assert_never(message)


def event_of(
    identity: Identity, job: JobId, shard: int, sender: PeerId, message: Queued | Started | Proposed | Failed
) -> ShardEvent:
    """What a node says of its execution; a proposal that does not open is one that counts as the empty hash."""
    match message:
        case Queued(execution, wait_s):
            return Waits(sender, ExecutionId(execution), wait_s)
        case Started(execution, sources):
            return Began(sender, ExecutionId(execution), sources)
        case Proposed(execution, sealed):
            return _opened(identity, job, shard, sender, ExecutionId(execution), sealed)
        case Failed(execution, code, reason):
            return RunFailed(sender, ExecutionId(execution), code, cut(reason))
        case _:
            assert_never(message)


def _opened(
    identity: Identity, job: JobId, shard: int, sender: PeerId, execution: ExecutionId, sealed: bytes
) -> Proposal:
    try:
        signed = open_proposal(identity, sealed, sender=sender, job=job, shard=shard, execution=execution)
    except BadProposal as error:
        log.warning("bad_proposal", extra={"job": job, "shard": shard, "peer": sender, "why": str(error)})
        return Proposal(sender, execution, None, cut(str(error)))
    # What it is bound to is known already: a job of many shards keeps each of these names once.
    bound = structs.replace(signed.statement, job=job, execution=execution, node=sender, requester=identity.peer_id)
    return Proposal(sender, execution, structs.replace(signed, statement=bound))
