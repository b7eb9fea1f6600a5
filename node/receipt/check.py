"""Whether a receipt holds, with nothing but the file and the results: no network, no clock, no trust in who made it.

What a receipt that holds proves: the requester signed it; each vote in it was signed by its node, for this execution
of this job and this requester; the nodes are those that the salt draws from the bidders; the votes give this verdict by
the rule that the spec asks for; the files are those that won. What it cannot prove: that the bidders are different
people, that the requester heard no other bids and drew but once, or that a node without a proposal made none.

Lives here: every check, in order. Does not live here: the encoding and its signature (``node.receipt.sign``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from node import limits, spec
from node.errors import BadProposal, BadResult, ExecutionFailed, InvalidSpec, StorageError
from node.model import DirHash, ExecutionId, JobId, PeerId, cut
from node.receipt.sign import read, signed_by_peer
from node.receipt.statement import UNREADABLE, Camp, InTotoStatement, Predicate, Run, Subject, rule_of, subjects_of
from node.verifier.dirhash import hash_tree
from node.verifier.draw import draw
from node.verifier.manifest import PREFIX, Manifest, parse
from node.verifier.proposal import check_signed
from node.verifier.vote import Verified, grouped, tally


@dataclass(frozen=True, slots=True)
class Holds:
    """Everything is as it should be, and the result was verified by vote."""

    predicate: Predicate
    files: int | None  # result files hashed; None: no results were given, the receipt alone was checked


@dataclass(frozen=True, slots=True)
class Unverified:
    """The receipt is genuine and the files are the ones it names, but nothing was compared: one node's word."""

    predicate: Predicate
    files: int | None


@dataclass(frozen=True, slots=True)
class Broken:
    """The first thing that is wrong, for people; what a file said is cut and cannot steer a terminal."""

    why: str


Checked = Holds | Unverified | Broken


class _BrokenError(Exception):
    """Carries the first failure out of the checks; never leaves this module."""


def check(receipt: bytes, results: Path | None = None, *, requester: PeerId | None = None) -> Checked:
    """Check a receipt, and the files in ``results`` if given. Blocking, as long as it takes to read them.

    ``requester``: whose it has to be; without it, it is checked to be of the requester that it names.
    """
    try:
        statement = _opened(receipt, requester)
        predicate = statement.predicate
        _check_spec(predicate)
        _check_draw(predicate)
        votes = _votes(predicate)
        _check_verdict(predicate, votes)
        manifest = _manifest(statement)
        if results is not None:
            _check_files(manifest, results)
    except _BrokenError as broken:
        return Broken(cut(str(broken)))
    files = None if results is None else len(manifest.lines)
    return (Holds if predicate.verdict.kind == "verified" else Unverified)(predicate, files)


def _opened(receipt: bytes, requester: PeerId | None) -> InTotoStatement:
    if len(receipt) > limits.RECEIPT_BYTES_MAX:
        raise _BrokenError(f"this is no receipt: it has {len(receipt)} bytes, the limit is {limits.RECEIPT_BYTES_MAX}")
    try:
        envelope, statement = read(receipt)
        named = PeerId(statement.predicate.requester)
        if requester is not None and named != requester:
            raise _BrokenError(f"it is a receipt of requester {named}, not of {requester}")
        if not signed_by_peer(envelope, named):
            raise _BrokenError(f"the requester's signature does not hold: the receipt is not what {named} signed")
    except ValueError as error:
        raise _BrokenError(str(error)) from error
    return statement


def _check_spec(predicate: Predicate) -> None:
    job = predicate.spec
    try:
        complete = spec.completed(job) == job
    except InvalidSpec as error:
        raise _BrokenError(f"the spec breaks its own rules: {error}") from error
    _require(complete, "the spec is not complete")
    _require(spec.spec_hash(job) == predicate.spec_sha256, "the spec does not have the hash that the receipt gives")
    _require(rule_of(job) == predicate.rule, "the rule is not the one that the spec asks for")
    _require(predicate.submitted_at <= predicate.finished_at, "the job ended before it was submitted")


def _check_draw(predicate: Predicate) -> None:
    drawn, deal = predicate.draw, predicate.spec.deal
    answered = [reply.peer for reply in predicate.answers]
    bids = {reply.peer for reply in predicate.answers if reply.code is None}
    _require(_distinct(answered), "a node answered the offer twice")
    _require(_distinct(drawn.bidders), "a node is twice among the bidders")
    _require(bids.issuperset(drawn.bidders), "the draw has a node that did not bid")
    _require(
        len(drawn.bidders) >= deal.bids_needed,
        f"lots were drawn among {len(drawn.bidders)} bidders where the spec asks for {deal.bids_needed}",
    )
    bidders = [PeerId(peer) for peer in drawn.bidders]
    again = draw(bidders, drawn.salt, JobId(predicate.job), 0, deal.concurrency)
    _require(again == drawn, "the salt draws other nodes from these bidders than the receipt says")


def _votes(predicate: Predicate) -> dict[PeerId, DirHash]:
    """Every vote, each checked to be its node's own."""
    _require(_distinct([run.execution for run in predicate.executions]), "an execution is there twice")
    _require(
        sorted(run.node for run in predicate.executions) == sorted(predicate.draw.chosen),
        "the executions are not one for each node that was drawn",
    )
    votes = {}
    for run in predicate.executions:
        if run.proposal is not None:
            _check_run(predicate, run)
            votes[PeerId(run.node)] = run.proposal.hash
        elif run.code == UNREADABLE:
            votes[PeerId(run.node)] = DirHash("")
        else:
            _require(run.code is not None, f"the execution of {run.node} has neither a proposal nor a reason why not")
    return votes


def _check_run(predicate: Predicate, run: Run) -> None:
    assert run.proposal is not None
    _require(run.code is None, f"the execution of {run.node} has both a proposal and a reason why not")
    _require(run.shard == 0, f"the execution of {run.node} is of shard {run.shard}, and the job has one")
    try:
        check_signed(
            run.proposal,
            node=PeerId(run.node),
            requester=PeerId(predicate.requester),
            job=JobId(predicate.job),
            shard=run.shard,
            execution=ExecutionId(run.execution),
        )
    except BadProposal as error:
        raise _BrokenError(f"the proposal of {run.node} does not hold: {error}") from error


def _check_verdict(predicate: Predicate, votes: dict[PeerId, DirHash]) -> None:
    said, rule = predicate.verdict, predicate.rule
    _require(
        (said.kind == "verified") == (rule.verifier == "deterministic"),
        f"the verifier {rule.verifier!r} does not say {said.kind!r}",
    )
    groups = tuple(Camp(hash=group.hash, peers=group.peers) for group in grouped(votes))
    _require(groups == said.groups, "the groups are not those of the proposals")
    if said.kind == "verified":
        recount = tally(votes, confidence=rule.confidence)
        if not isinstance(recount, Verified):
            raise _BrokenError(f"recounted, the vote has no winner: {recount.reason}")
        _require(recount.hash == said.hash, f"recounted, the vote is won by {recount.hash}, not by {said.hash}")
    _require(votes.get(PeerId(predicate.source)) == said.hash, "the files did not come from a node that proposed them")


def _manifest(statement: InTotoStatement) -> Manifest:
    """The subjects as the manifest that won."""
    try:
        manifest = parse("".join(map(_line, statement.subject)).encode())
    except (BadResult, UnicodeEncodeError) as error:
        raise _BrokenError(f"the list of result files is not in order: {error}") from error
    _require(subjects_of(manifest) == statement.subject, "the list of result files is not in order")
    won = statement.predicate.verdict.hash
    _require(statement.predicate.manifest == won, "the manifest is not the one that won")
    _require(manifest.h1() == won, "the result files that the receipt names are not those that won")
    return manifest


def _line(subject: Subject) -> str:
    return f"{subject.digest.sha256}  {PREFIX}/{subject.name}\n"


def _check_files(manifest: Manifest, results: Path) -> None:
    try:
        found = hash_tree(results, files_max=limits.RESULT_FILES_MAX, bytes_max=2**62).manifest
    except (ExecutionFailed, StorageError) as error:
        raise _BrokenError(f"the results cannot be checked: {error}") from error
    there = {line.name: line.sha256 for line in found.lines}
    for line in manifest.lines:
        name = line.name.removeprefix(f"{PREFIX}/")
        _require(line.name in there, f"the result file {name!r} is missing")
        _require(there.pop(line.name) == line.sha256, f"the result file {name!r} is not the one that won")
    for extra in there:
        raise _BrokenError(f"the file {extra.removeprefix(f'{PREFIX}/')!r} is not one of the results")


def _require(holds: bool, why: str) -> None:
    if not holds:
        raise _BrokenError(why)


def _distinct(names: Sequence[str]) -> bool:
    return len(set(names)) == len(names)
