"""Finished jobs to make receipts of: five nodes, honest or not, and the results that won."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from nacl.signing import SigningKey

from node import spec
from node.identity import Identity
from node.journal.records import Answer, ExecutionRecord, Group, JobRecord, ShardRecord, ShardResults, VerdictRecord
from node.model import ClientId, Deal, DirHash, ExecutionId, JobId, JobSpec, PeerId, Sha256, WasmEngine
from node.receipt.statement import Facts
from node.verifier.base import Verifier
from node.verifier.deterministic import Deterministic
from node.verifier.draw import draw
from node.verifier.manifest import Line, Manifest, manifest_of
from node.verifier.noop import Noop
from node.verifier.proposal import DOMAIN, SignedProposal, Statement, canonical
from node.verifier.vote import Unchecked, Verified

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


def spec_of(verifier: str = "deterministic", deal: Deal | None = None) -> JobSpec:
    deal = deal or Deal(concurrency=5, confidence=4, min_bids=5)
    return spec.completed(JobSpec(engine=WasmEngine(module="ab" * 32), verifier=verifier, deal=deal))


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
    manifest = manifest_of_files(files)
    hashes = {"right": manifest.h1(), "wrong": WRONG, "unreadable": DirHash("")}
    bidders = sorted(NODES)[:-1]
    drawn = draw(bidders, "5a" * 32, JOB, 0, job.deal.concurrency)
    runs = tuple(
        _run(index, PeerId(peer), vote, hashes)
        for index, (peer, vote) in enumerate(zip(drawn.chosen, votes, strict=True))
    )
    cast = {run.peer: DirHash(run.hash) for run in runs if run.hash is not None}
    verdict = VERIFIERS[job.verifier].judge(cast, job.deal)
    assert isinstance(verdict, Verified | Unchecked)
    record = JobRecord(
        job=JOB,
        client=CLIENT,
        spec=job,
        spec_sha256=spec.spec_hash(job),
        submitted_at=1_700_000_000.25,
        deadline=1_700_001_000.0,
        answers=(*map(_bid, reversed(bidders)), Answer(peer=max(NODES), code="data", reason="no such data")),
        draw=drawn,
        executions=runs,
        verdict=VerdictRecord(
            kind="verified" if isinstance(verdict, Verified) else "unchecked",
            hash=verdict.hash,
            groups=tuple(Group(hash=group.hash, peers=group.peers) for group in verdict.groups),
        ),
    )
    proposals = tuple(signed(record, run, run.hash) for run in runs if run.hash)
    source = next(run.peer for run in runs if run.hash == verdict.hash)
    shard = ShardRecord(
        shard=0,
        state="completed",
        executions=record.executions,
        verdict=record.verdict,
        results=ShardResults(hash=verdict.hash, files=len(files), bytes=9, peer=source, exit_code=0),
    )
    return Facts(
        record=record,
        shards=(shard,),
        plan=None,
        proposals=proposals,
        manifest=manifest,
        finished_at=1_700_000_001.5,
    )


def _bid(peer: PeerId) -> Answer:
    return Answer(peer=peer)


def _run(index: int, peer: PeerId, vote: str, hashes: Mapping[str, DirHash]) -> ExecutionRecord:
    execution = ExecutionId(f"{index:032x}")
    if vote in hashes:
        return ExecutionRecord(execution=execution, shard=0, peer=peer, state="proposed", hash=hashes[vote])
    return ExecutionRecord(execution=execution, shard=0, peer=peer, state="failed", code=vote, reason="it did not work")


HONEST = ("right",) * 5
ONE_LIAR = ("right", "wrong", "right", "right", "right")
