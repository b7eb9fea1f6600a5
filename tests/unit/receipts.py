"""Finished jobs to make receipts of: five nodes, honest or not, and the results that won."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
from nacl.signing import SigningKey

from node import spec
from node.identity import Identity
from node.journal.records import Answer, ExecutionRecord, Group, JobRecord, ShardRecord, ShardResults, VerdictRecord
from node.model import (
    CidInput,
    ClientId,
    Deal,
    DirHash,
    ExecutionId,
    JobId,
    JobSpec,
    PeerId,
    Plan,
    Sha256,
    Sharding,
    WasmEngine,
)
from node.receipt.check import Broken, check
from node.receipt.files import whole_manifest
from node.receipt.sign import enveloped
from node.receipt.statement import Facts, InTotoStatement
from node.verifier.base import Verifier
from node.verifier.deterministic import Deterministic
from node.verifier.draw import chosen, lots
from node.verifier.manifest import Line, Manifest, manifest_of, voted
from node.verifier.noop import Noop
from node.verifier.proposal import DOMAIN, SignedProposal, Statement, canonical
from node.verifier.vote import NotVerified, Verified

JOB = JobId("0123456789abcdef" * 2)
CLIENT = ClientId("c1" * 32)
FILES = {"exitCode": b"0", "stdout": b"hello\n", "stderr": b"", "outputs/census.csv": b"name,count\nos,7\n"}
WRONG = DirHash("h1:" + "A" * 43 + "=")
VERIFIERS: dict[str, Verifier] = {"deterministic": Deterministic(), "noop": Noop()}


def identity(number: int) -> Identity:
    return Identity(SigningKey(bytes([number]) * 32))


REQUESTER = identity(1)
NODES = {node.peer_id: node for node in map(identity, range(10, 17))}  # Seven bid, or six and one declines.


def manifest_of_files(files: Mapping[str, bytes]) -> Manifest:
    return manifest_of(
        Line(Sha256(hashlib.sha256(content).hexdigest()), f"results/{name}") for name, content in files.items()
    )


def planted(folder: Path, files: Mapping[str, bytes] = FILES) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def spec_of(verifier: str = "deterministic", deal: Deal | None = None, vote_on: str = "all") -> JobSpec:
    deal = deal or Deal(concurrency=5, confidence=4, min_bids=5)
    return spec.completed(JobSpec(engine=WasmEngine(module="ab" * 32), verifier=verifier, vote_on=vote_on, deal=deal))


def sharded(shards: int, deal: Deal | None = None, vote_on: str = "all") -> JobSpec:
    """A spec whose plan has so many shards (``plan_of``)."""
    job = msgspec.structs.replace(
        spec_of(deal=deal or Deal(concurrency=3, confidence=2), vote_on=vote_on),
        inputs=(CidInput(cid="apples", path="/inputs"),),
        sharding=Sharding(glob_pattern="/*", batch_size=2),
    )
    assert len(plan_of(shards)) == shards
    return spec.completed(job)


def plan_of(shards: int) -> Plan:
    """Two files for each shard."""
    return tuple((f"/inputs/{number}-a", f"/inputs/{number}-b") for number in range(shards))


def signed(record: JobRecord, run: ExecutionRecord, value: str) -> SignedProposal:
    node = NODES[run.peer]
    statement = Statement(
        job=record.job,
        shard=run.shard,
        execution=run.execution,
        node=node.peer_id,
        requester=REQUESTER.peer_id,
        hash=value,
        salt=hashlib.sha256(run.peer.encode()).hexdigest(),
    )
    return SignedProposal(statement, node.sign(DOMAIN + canonical(statement)))


def finished(job: JobSpec, votes: tuple[str, ...], files: Mapping[str, bytes] = FILES) -> Facts:
    """A job whose nodes, in the order of the draw, proposed ``right``, ``wrong`` or ``unreadable``, or failed."""
    return told(job, None, [votes], [files])


def many(
    votes: Sequence[tuple[str, ...]],
    files: Sequence[Mapping[str, bytes]],
    deal: Deal | None = None,
    vote_on: str = "all",
) -> Facts:
    """The same of several shards; one with no votes did not begin."""
    return told(sharded(len(votes), deal, vote_on), plan_of(len(votes)), votes, files)


def told(
    job: JobSpec, plan: Plan | None, votes: Sequence[tuple[str, ...]], files: Sequence[Mapping[str, bytes]]
) -> Facts:
    bidders = sorted(NODES)[:-1]
    drawn = lots(bidders, (), "5a" * 32)
    manifests = [manifest_of_files(of_shard) for of_shard in files]
    shards = tuple(
        _shard(job, number, chosen(drawn, JOB, number, job.deal.concurrency), cast, manifests[number])
        for number, cast in enumerate(votes)
        if cast
    )
    record = JobRecord(
        job=JOB,
        client=CLIENT,
        spec=job,
        spec_sha256=spec.spec_hash(job),
        submitted_at=1_700_000_000.25,
        deadline=1_700_001_000.0,
        shards=len(votes),
        plan_sha256=None if plan is None else spec.plan_sha256(plan),
        answers=(*map(_bid, reversed(bidders)), Answer(peer=max(NODES), code="data", reason="no such data")),
        draw=drawn,
    )
    runs = [run for shard in shards for run in shard.executions]
    kept = {shard.shard: manifests[shard.shard] for shard in shards if shard.results is not None}
    return Facts(
        record=record,
        shards=shards,
        plan=plan,
        proposals=tuple(signed(record, run, run.hash) for run in runs if run.hash),
        manifest=whole_manifest(kept, len(votes)),
        finished_at=1_700_000_001.5,
    )


def _shard(
    job: JobSpec, number: int, nodes: Sequence[PeerId], votes: tuple[str, ...], manifest: Manifest
) -> ShardRecord:
    hashes = {"right": voted(manifest, job.vote_on).h1(), "wrong": WRONG, "unreadable": DirHash("")}
    runs = tuple(
        _run(number, index, PeerId(peer), vote, hashes)
        for index, (peer, vote) in enumerate(zip(nodes, votes, strict=True))
    )
    cast = {run.peer: DirHash(run.hash) for run in runs if run.hash is not None}
    verdict = VERIFIERS[job.verifier].judge(cast, job.deal)
    groups = tuple(Group(hash=group.hash, peers=group.peers) for group in verdict.groups)
    if isinstance(verdict, NotVerified):
        told = VerdictRecord(kind="not_verified", groups=groups, reason=verdict.reason)
        return ShardRecord(shard=number, state="not_verified", executions=runs, verdict=told)
    kind = "verified" if isinstance(verdict, Verified) else "unchecked"
    source = next(run.peer for run in runs if run.hash == verdict.hash)
    return ShardRecord(
        shard=number,
        state="completed",
        executions=runs,
        verdict=VerdictRecord(kind=kind, hash=verdict.hash, groups=groups),
        results=ShardResults(hash=verdict.hash, files=len(manifest.lines), bytes=9, peer=source, exit_code=0),
    )


def _bid(peer: PeerId) -> Answer:
    return Answer(peer=peer)


def refusal(statement: InTotoStatement) -> str:
    """What is wrong with it, properly signed."""
    checked = check(enveloped(REQUESTER, statement))
    assert isinstance(checked, Broken)
    return checked.why


def _run(shard: int, index: int, peer: PeerId, vote: str, hashes: Mapping[str, DirHash]) -> ExecutionRecord:
    execution = ExecutionId(f"{shard * 1000 + index:032x}")
    if vote in hashes:
        return ExecutionRecord(execution=execution, shard=shard, peer=peer, state="proposed", hash=hashes[vote])
    return ExecutionRecord(
        execution=execution, shard=shard, peer=peer, state="failed", code=vote, reason="it did not work"
    )


HONEST = ("right",) * 5
ONE_LIAR = ("right", "wrong", "right", "right", "right")
