"""What a receipt says: an in-toto Statement (https://github.com/in-toto/attestation, ``spec/v1/statement.md``). Pure.

Its subjects are the result files; its predicate is everything that it takes to recount the votes: the spec, who
answered, the draw, and for each shard every node's signed proposal, the verdict, and why nothing is kept where nothing
is. A receipt exists when at least one shard was won. The client is not named: the receipt is the client's to show
around.

Lives here: the document and how it is made from a job's records. Does not live here: the signature around it
(``node.receipt.sign``), what makes it hold (``node.receipt.check``).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Final, Literal

import msgspec

from node import limits
from node.journal.records import Answer, ExecutionRecord, JobRecord, ShardRecord, VerdictRecord
from node.model import Draw, Hex32, Hex64, JobSpec, PeerId, PeerName, Plan, Reason
from node.receipt.layout import unvoted
from node.spec import paths_sha256
from node.verifier.manifest import Manifest
from node.verifier.proposal import H1, SignedProposal
from node.verifier.vote import resolved

STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE: Final = "urn:quorate:receipt:v1"
UNREADABLE = "unreadable"  # The code of an execution whose proposal came and did not open; it votes for the empty hash.

Code = Annotated[str, msgspec.Meta(pattern=r"\A[a-z_]{1,32}\Z")]
Time = Annotated[str, msgspec.Meta(pattern=r"\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z\Z")]  # RFC 3339, UTC


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of what is signed. Every field is written, also one that has its default."""


class Digest(_Part, frozen=True, kw_only=True, gc=False):
    """in-toto's DigestSet with the one algorithm that we use."""

    sha256: Hex64


class Annotations(_Part, frozen=True, kw_only=True, gc=False):
    """What is said of a file that did not count in the vote: it is the word of the shard's ``source`` alone."""

    voted: Literal[False]


class Subject(_Part, frozen=True, kw_only=True, gc=False):
    """One result file, by its path in the results folder; without annotations it was voted on."""

    name: str
    digest: Digest
    annotations: Annotations | msgspec.UnsetType = msgspec.UNSET


class Rule(_Part, frozen=True, kw_only=True):
    """How it was judged, with nothing left to defaults."""

    verifier: Literal["deterministic", "noop"]
    concurrency: int
    confidence: int
    min_bids: int


class Reply(_Part, frozen=True, kw_only=True):
    """What a node answered to the offer. ``code`` None: it bid; ``holds``: it needed to fetch nothing; ``wait_s``: how
    long it would have to wait for room, about.
    """

    peer: PeerName
    code: Code | None
    reason: Reason
    holds: bool
    wait_s: float


class Run(_Part, frozen=True, kw_only=True):
    """One execution: the node's signed proposal, or why there is none."""

    execution: Hex32
    node: PeerName
    proposal: SignedProposal | None
    code: Code | None  # model.FailureCode or UNREADABLE
    reason: Reason
    sources: tuple[str, ...]  # which driver served each input, as the node says


class Camp(_Part, frozen=True, kw_only=True):
    """Nodes that proposed the same hash; the empty one: proposals that did not open."""

    hash: str
    peers: tuple[PeerName, ...]


class Outcome(_Part, frozen=True, kw_only=True):
    """A verdict: what won, if anything did, and everybody's vote. ``unchecked``: nothing was compared."""

    kind: Literal["verified", "unchecked", "not_verified"]
    hash: str  # "" for not_verified
    groups: tuple[Camp, ...]  # largest first, then by hash


class Shard(_Part, frozen=True, kw_only=True):
    """One shard: what it saw, who ran it, the vote, and what is kept of it."""

    shard: int
    paths_sha256: Hex64 | None  # of the paths that it saw (``spec.paths_sha256``); None: all inputs whole
    executions: tuple[Run, ...]
    verdict: Outcome | None  # None: it did not come to a vote
    manifest: H1 | None  # of its files that count in the vote; None: nothing is kept
    source: PeerName | None  # who handed them over, or published them
    location: Annotated[str, msgspec.Meta(max_length=limits.LOCATION_CHARS_MAX)]  # a URI; "": not published
    reason: Reason  # why nothing is kept


class Predicate(_Part, frozen=True, kw_only=True):
    """What the requester says happened."""

    job: Hex32
    requester: PeerName
    submitted_at: Time
    finished_at: Time
    spec: JobSpec
    spec_sha256: Hex64
    plan_sha256: Hex64 | None  # None: no sharding
    rule: Rule
    answers: tuple[Reply, ...]  # in the order they came
    draw: Draw
    shards: tuple[Shard, ...]  # all of them, in order
    manifest: H1  # of the subjects, with the prefix ``results/``

    @property
    def missing(self) -> tuple[int, ...]:
        """The shards of which nothing is kept."""
        return tuple(shard.shard for shard in self.shards if shard.manifest is None)


class InTotoStatement(_Part, frozen=True, kw_only=True):
    """The whole document."""

    type: Literal["https://in-toto.io/Statement/v1"] = msgspec.field(name="_type", default=STATEMENT_TYPE)
    subject: tuple[Subject, ...]
    predicate_type: Literal["urn:quorate:receipt:v1"] = msgspec.field(name="predicateType", default=PREDICATE_TYPE)
    predicate: Predicate


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a receipt is made from."""

    record: JobRecord  # drawn
    shards: tuple[ShardRecord, ...]  # those that began, in order, all settled; at least one of them is kept
    plan: Plan | None  # None: one shard that sees all inputs whole
    proposals: tuple[SignedProposal, ...]  # those that opened, each of an execution of the shards
    manifest: Manifest  # of all files that are kept, by their names in the vault: ``per_shard/<index>/…`` when several
    finished_at: float  # seconds since 1970-01-01 UTC


def stated(requester: PeerId, facts: Facts) -> InTotoStatement:
    """The document in the words of ``requester``."""
    record = facts.record
    assert record.draw is not None
    assert any(shard.results is not None for shard in facts.shards), "a receipt is about results"
    return InTotoStatement(
        subject=subjects_of(facts.manifest, unvoted(record.shards, _kept(facts), record.spec.vote_on)),
        predicate=Predicate(
            job=record.job,
            requester=requester,
            submitted_at=_time(record.submitted_at),
            finished_at=_time(max(facts.finished_at, record.submitted_at)),  # Clocks are set back now and then.
            spec=record.spec,
            spec_sha256=record.spec_sha256,
            plan_sha256=record.plan_sha256,
            rule=rule_of(record.spec),
            answers=tuple(map(_reply, record.answers)),
            draw=record.draw,
            shards=_shards(facts),
            manifest=facts.manifest.h1(),
        ),
    )


def rule_of(spec: JobSpec) -> Rule:
    """The rule that a spec asks for."""
    deal = spec.deal
    return Rule(verifier=spec.verifier, concurrency=deal.concurrency, confidence=resolved(deal), min_bids=deal.min_bids)


def subjects_of(manifest: Manifest, voteless: Collection[str]) -> tuple[Subject, ...]:
    """One subject for each line, without the prefix, in the order of the manifest; ``voteless`` did not count."""
    note = Annotations(voted=False)
    return tuple(
        Subject(
            name=line.path,
            digest=Digest(sha256=line.sha256),
            annotations=note if line.path in voteless else msgspec.UNSET,
        )
        for line in manifest.lines
    )


def _kept(facts: Facts) -> tuple[int, ...]:
    return tuple(shard.shard for shard in facts.shards if shard.results is not None)


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _reply(answer: Answer) -> Reply:
    return Reply(peer=answer.peer, code=answer.code, reason=answer.reason, holds=answer.holds, wait_s=answer.wait_s)


def _shards(facts: Facts) -> tuple[Shard, ...]:
    """Those that never began too."""
    begun = {shard.shard: shard for shard in facts.shards}
    signed = {proposal.statement.execution: proposal for proposal in facts.proposals}
    waiting = (ShardRecord(shard=number) for number in range(facts.record.shards))
    return tuple(_shard(begun.get(shard.shard, shard), facts.plan, signed) for shard in waiting)


def _shard(shard: ShardRecord, plan: Plan | None, signed: Mapping[str, SignedProposal]) -> Shard:
    kept = shard.results
    return Shard(
        shard=shard.shard,
        paths_sha256=None if plan is None else paths_sha256(plan[shard.shard]),
        executions=tuple(_run(run, signed.get(run.execution)) for run in shard.executions),
        verdict=None if shard.verdict is None else _outcome(shard.verdict),
        manifest=None if kept is None else kept.hash,
        source=None if kept is None else kept.peer,
        location="" if kept is None else kept.location,
        reason="" if kept is not None else _why_not(shard),
    )


def _why_not(shard: ShardRecord) -> str:
    if shard.failure is not None:
        return shard.failure.reason
    if shard.verdict is not None and shard.verdict.reason:
        return shard.verdict.reason
    return "it did not begin" if not shard.executions else shard.state.replace("_", " ")


def _run(run: ExecutionRecord, signed: SignedProposal | None) -> Run:
    assert (signed is not None) == (run.state == "proposed" and run.hash != "")
    code = None if signed else _code(run)
    return Run(
        execution=run.execution, node=run.peer, proposal=signed, code=code, reason=run.reason, sources=run.sources
    )


def _code(run: ExecutionRecord) -> str | None:
    if run.state == "proposed":
        return UNREADABLE
    return run.code if run.state == "failed" else "cancelled"  # Its job, or its vote, ended before it did.


def _outcome(verdict: VerdictRecord) -> Outcome:
    groups = tuple(Camp(hash=group.hash, peers=group.peers) for group in verdict.groups)
    return Outcome(kind=verdict.kind, hash=verdict.hash, groups=groups)
