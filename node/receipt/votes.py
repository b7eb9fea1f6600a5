"""The recount: who had to run each shard, what each of them signed, and what that adds up to.

Does not live here: the files that won (``node.receipt.files``), the order of all checks (``node.receipt.check``).
"""

from __future__ import annotations

from node.errors import BadProposal
from node.model import DirHash, ExecutionId, JobId, NonePublisher, PeerId, VaultPublisher
from node.receipt.broken import BrokenError, distinct, require
from node.receipt.statement import UNREADABLE, Camp, Outcome, Predicate, Run, Shard
from node.spec import plan_sha256_of
from node.verifier.draw import chosen
from node.verifier.proposal import check_signed
from node.verifier.vote import Verified, grouped, tally

Votes = dict[PeerId, DirHash]


def check_draw(predicate: Predicate) -> None:
    """That lots were drawn among enough nodes that bid. Raises BrokenError."""
    drawn, deal = predicate.draw, predicate.spec.deal
    answered = [reply.peer for reply in predicate.answers]
    bids = {reply.peer: reply for reply in predicate.answers if reply.code is None}
    require(distinct(answered), "a node answered the offer twice")
    require(distinct(drawn.bidders), "a node is twice among the bidders")
    require(drawn.bidders == tuple(sorted(drawn.bidders)), "the bidders are not in order")
    require(bids.keys() >= set(drawn.bidders), "the draw has a node that did not bid")
    holders = tuple(peer for peer in drawn.bidders if deal.holders_first and bids[peer].holds)
    require(drawn.holders == holders, "the nodes that come first are not those that said that they hold the data")
    waiting = tuple(peer for peer in drawn.bidders if deal.ready_first and bids[peer].wait_s > 0)
    require(drawn.waiting == waiting, "the nodes that come last are not those that said that they have to wait")
    require(
        len(drawn.bidders) >= deal.bids_needed,
        f"lots were drawn among {len(drawn.bidders)} bidders where the spec asks for {deal.bids_needed}",
    )


def check_plan(predicate: Predicate) -> None:
    """That there are all shards of one plan, and no other. Raises BrokenError."""
    shards = predicate.shards
    require([shard.shard for shard in shards] == list(range(len(shards))), "the shards are not all there, in order")
    runs = [run.execution for shard in shards for run in shard.executions]
    require(distinct(runs), "an execution is there twice")
    if predicate.spec.sharding is None:
        whole = len(shards) == 1 and shards[0].paths_sha256 is None
        require(whole and predicate.plan_sha256 is None, "there is a plan where the spec asks for no shards")
        return
    paths = [shard.paths_sha256 for shard in shards if shard.paths_sha256 is not None]
    require(len(paths) == len(shards) > 0, "a shard does not say what it saw")
    require(plan_sha256_of(paths) == predicate.plan_sha256, "the shards are not those of the plan")


def check_shard(predicate: Predicate, shard: Shard) -> None:
    """One vote, recounted. Raises BrokenError."""
    where = f"shard {shard.shard}: " if len(predicate.shards) > 1 else ""
    try:
        votes = _votes(predicate, shard)
        if shard.verdict is not None:
            _check_verdict(predicate, shard.verdict, votes)
        _check_kept(predicate, shard, votes)
    except BrokenError as error:
        raise BrokenError(f"{where}{error}") from error


def _votes(predicate: Predicate, shard: Shard) -> Votes:
    """Every vote, each checked to be its node's own."""
    if shard.executions or shard.verdict is not None:
        drawn = chosen(predicate.draw, JobId(predicate.job), shard.shard, predicate.rule.concurrency)
        require(
            tuple(run.node for run in shard.executions) == drawn,
            "the executions are not one for each node that the salt draws from these bidders, in its order",
        )
    votes = {}
    for run in shard.executions:
        if run.proposal is not None:
            _check_run(predicate, shard, run)
            votes[PeerId(run.node)] = run.proposal.hash
        elif run.code == UNREADABLE:
            votes[PeerId(run.node)] = DirHash("")
        else:
            require(run.code is not None, f"the execution of {run.node} has neither a proposal nor a reason why not")
    return votes


def _check_run(predicate: Predicate, shard: Shard, run: Run) -> None:
    assert run.proposal is not None
    require(run.code is None, f"the execution of {run.node} has both a proposal and a reason why not")
    try:
        check_signed(
            run.proposal,
            node=PeerId(run.node),
            requester=PeerId(predicate.requester),
            job=JobId(predicate.job),
            shard=shard.shard,
            execution=ExecutionId(run.execution),
        )
    except BadProposal as error:
        raise BrokenError(f"the proposal of {run.node} does not hold: {error}") from error


def _check_verdict(predicate: Predicate, said: Outcome, votes: Votes) -> None:
    rule = predicate.rule
    groups = tuple(Camp(hash=group.hash, peers=group.peers) for group in grouped(votes))
    require(groups == said.groups, "the groups are not those of the proposals")
    if rule.verifier == "noop":
        require(said.kind != "verified", f"the verifier {rule.verifier!r} does not say {said.kind!r}")
        return
    recount = tally(votes, confidence=rule.confidence)
    require(said.kind != "unchecked", f"the verifier {rule.verifier!r} does not say {said.kind!r}")
    if isinstance(recount, Verified):
        require(said.kind == "verified", f"recounted, the vote is won by {recount.hash}")
        require(recount.hash == said.hash, f"recounted, the vote is won by {recount.hash}, not by {said.hash}")
    elif said.kind == "verified":
        raise BrokenError(f"recounted, the vote has no winner: {recount.reason}")


def _check_kept(predicate: Predicate, shard: Shard, votes: Votes) -> None:
    if shard.manifest is None:
        require(shard.source is None and not shard.location, "somebody handed over what is not kept")
        require(shard.reason != "", "nothing says why there is no result")
        return
    won = None if shard.verdict is None or shard.verdict.kind == "not_verified" else shard.verdict.hash
    require(won is not None, "something is kept that did not win")
    require(shard.manifest == won, "the manifest is not the one that won")
    require(shard.reason == "", "there are both a result and a reason why not")
    is_published = not isinstance(predicate.spec.publisher, VaultPublisher | NonePublisher)
    require(bool(shard.location) == is_published, "results are not where the spec says that they go")
    from_whom = None if shard.source is None else votes.get(PeerId(shard.source))
    require(from_whom == won, "the files did not come from a node that proposed them")
