"""Shards and jobs to step by hand: six nodes, their words, and what a machine wants after each."""

from __future__ import annotations

from doubles.peers import identity, peer

from node.journal.records import ShardResults
from node.model import Deal, JobId, JobSpec, WasmEngine
from node.requester.effects import Dismiss
from node.requester.life import Proposal, Running, TurnCame
from node.requester.shard import begun, judge_of, step_shard
from node.verifier.deterministic import Deterministic
from node.verifier.noop import Noop
from node.verifier.proposal import SignedProposal, Statement

JOB = JobId("0" * 32)
SHARD = 7
REQUESTER = identity(99)
PEERS = [peer(number) for number in range(6)]
HASHES = {letter: f"h1:{letter * 42}A=" for letter in "xyz"}


def spec(verifier="deterministic", **deal):
    deal = {"concurrency": 3, "confidence": 2, "min_bids": 4} | deal
    return JobSpec(engine=WasmEngine(module="0" * 64), verifier=verifier, deal=Deal(**deal))


def judge(the_spec=None):
    the_spec = the_spec or spec()
    verifier = Deterministic() if the_spec.verifier == "deterministic" else Noop()
    return judge_of(verifier.judge, the_spec.deal)


def execution(node):
    return f"{PEERS.index(node):032x}"


def proposal(node, letter):
    if letter is None:
        return Proposal(node, execution(node), None, "it does not open")
    statement = Statement(
        job=JOB,
        shard=SHARD,
        execution=execution(node),
        node=node,
        requester=REQUESTER.peer_id,
        hash=HASHES[letter],
        salt="2" * 64,
    )
    return Proposal(node, execution(node), SignedProposal(statement, bytes(64)))


def play(events, state, the_spec=None):
    """Feed events to a shard. Returns its state and every effect."""
    performed = []
    for event in events:
        state, effects = step_shard(state, event, judge(the_spec))
        performed.extend(effects)
    return state, performed


def waiting(nodes=tuple(PEERS[:3])):
    """A shard whose nodes are drawn, and no turn has come."""
    return begun(SHARD, nodes, [execution(node) for node in nodes])


def running(the_spec=None):
    """A shard whose executions have all begun, and its nodes."""
    nodes = PEERS[: (the_spec or spec()).deal.concurrency]
    state, _ = play(map(TurnCame, nodes), waiting(tuple(nodes)))
    assert isinstance(state, Running)
    return state, nodes


def kept(node):
    return ShardResults(hash=HASHES["x"], files=3, bytes=5, peer=node)


def dismissed(effects):
    """Who is told to stop and delete, in order."""
    return [run.peer for effect in effects if isinstance(effect, Dismiss) for run in effect.executions]
