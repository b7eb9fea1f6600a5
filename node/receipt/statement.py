"""What a receipt says: an in-toto Statement (https://github.com/in-toto/attestation, ``spec/v1/statement.md``). Pure.

Its subjects are the result files; its predicate is everything that it takes to recount the vote: the spec, who
answered, the draw, every node's signed proposal, the rule and the verdict. A receipt exists when there are results, so
its verdict is ``verified`` or ``unchecked``. The client is not named: the receipt is the client's to show around.

Lives here: the document and how it is made from a job's record. Does not live here: the signature around it
(``node.receipt.sign``), what makes it hold (``node.receipt.check``).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Final, Literal

import msgspec

from node.journal.records import Answer, ExecutionRecord, JobRecord, ShardRecord, VerdictRecord
from node.model import Draw, Hex32, Hex64, JobSpec, PeerId, PeerName, Plan, Reason
from node.verifier.manifest import PREFIX, Manifest
from node.verifier.proposal import H1, SignedProposal
from node.verifier.vote import resolved

STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE: Final = "urn:quorate:receipt:v1"
UNREADABLE = "unreadable"  # The code of an execution whose proposal came and did not open; it votes for the empty hash.

Code = Annotated[str, msgspec.Meta(pattern=r"\A[a-z_]{1,32}\Z")]
Time = Annotated[str, msgspec.Meta(pattern=r"\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z\Z")]  # RFC 3339, UTC


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of what is signed. Every field is written, also one that has its default."""


class Digest(_Part, frozen=True, kw_only=True):
    """in-toto's DigestSet with the one algorithm that we use."""

    sha256: Hex64


class Subject(_Part, frozen=True, kw_only=True):
    """One result file, by its path in the results folder."""

    name: str
    digest: Digest


class Rule(_Part, frozen=True, kw_only=True):
    """How it was judged, with nothing left to defaults."""

    verifier: Literal["deterministic", "noop"]
    concurrency: int
    confidence: int
    min_bids: int


class Reply(_Part, frozen=True, kw_only=True):
    """What a node answered to the offer. ``code`` None: it bid."""

    peer: PeerName
    code: Code | None
    reason: Reason


class Run(_Part, frozen=True, kw_only=True):
    """One execution: the node's signed proposal, or why there is none."""

    execution: Hex32
    shard: int
    node: PeerName
    proposal: SignedProposal | None
    code: Code | None  # model.FailureCode or UNREADABLE
    reason: Reason


class Camp(_Part, frozen=True, kw_only=True):
    """Nodes that proposed the same hash; the empty one: proposals that did not open."""

    hash: str
    peers: tuple[PeerName, ...]


class Outcome(_Part, frozen=True, kw_only=True):
    """The verdict: what won, and everybody's vote. ``unchecked``: nothing was compared."""

    kind: Literal["verified", "unchecked"]
    hash: H1
    groups: tuple[Camp, ...]  # largest first, then by hash


class Predicate(_Part, frozen=True, kw_only=True):
    """What the requester says happened."""

    job: Hex32
    requester: PeerName
    submitted_at: Time
    finished_at: Time
    spec: JobSpec
    spec_sha256: Hex64
    rule: Rule
    answers: tuple[Reply, ...]  # in the order they came
    draw: Draw
    executions: tuple[Run, ...]
    verdict: Outcome
    manifest: H1  # of the subjects, with the prefix ``results/``
    source: PeerName  # who handed the files over


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
    record, (shard, *_) = facts.record, facts.shards
    assert record.draw is not None
    assert shard.verdict is not None
    assert shard.results is not None
    signed = {proposal.statement.execution: proposal for proposal in facts.proposals}
    return InTotoStatement(
        subject=subjects_of(facts.manifest),
        predicate=Predicate(
            job=record.job,
            requester=requester,
            submitted_at=_time(record.submitted_at),
            finished_at=_time(max(facts.finished_at, record.submitted_at)),  # Clocks are set back now and then.
            spec=record.spec,
            spec_sha256=record.spec_sha256,
            rule=rule_of(record.spec),
            answers=tuple(map(_reply, record.answers)),
            draw=record.draw,
            executions=tuple(_run(run, signed.get(run.execution)) for run in shard.executions),
            verdict=_outcome(shard.verdict),
            manifest=facts.manifest.h1(),
            source=shard.results.peer,
        ),
    )


def rule_of(spec: JobSpec) -> Rule:
    """The rule that a spec asks for."""
    deal = spec.deal
    return Rule(verifier=spec.verifier, concurrency=deal.concurrency, confidence=resolved(deal), min_bids=deal.min_bids)


def subjects_of(manifest: Manifest) -> tuple[Subject, ...]:
    """One subject for each line, without the prefix, in the order of the manifest."""
    return tuple(
        Subject(name=line.name.removeprefix(f"{PREFIX}/"), digest=Digest(sha256=line.sha256)) for line in manifest.lines
    )


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _reply(answer: Answer) -> Reply:
    return Reply(peer=answer.peer, code=answer.code, reason=answer.reason)


def _run(run: ExecutionRecord, signed: SignedProposal | None) -> Run:
    assert run.state in ("proposed", "failed"), "a vote is over when every execution has ended"
    assert (signed is not None) == (run.state == "proposed" and run.hash != "")
    code = None if signed else run.code if run.state == "failed" else UNREADABLE
    return Run(execution=run.execution, shard=run.shard, node=run.peer, proposal=signed, code=code, reason=run.reason)


def _outcome(verdict: VerdictRecord) -> Outcome:
    assert verdict.kind != "not_verified", "a receipt is about results"
    groups = tuple(Camp(hash=group.hash, peers=group.peers) for group in verdict.groups)
    return Outcome(kind=verdict.kind, hash=verdict.hash, groups=groups)
