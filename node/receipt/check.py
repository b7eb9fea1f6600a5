"""Whether a receipt holds, with nothing but the file and the results: no network, no clock, no trust in who made it.

What a receipt that holds proves: the requester signed it; each vote in it was signed by its node, for this execution
of this shard and this requester; the nodes are those that the salt draws from the bidders; the votes give these
verdicts by the rule that the spec asks for; the files are those that won. What it cannot prove: that the bidders are
different people, that the requester heard no other bids and drew but once, that a node without a proposal made none,
or that a shard without a result had none.

Lives here: the order of the checks, and their answer. Does not live here: the votes (``node.receipt.votes``), the files
(``node.receipt.files``), the encoding and its signature (``node.receipt.sign``).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from node import limits, spec
from node.errors import InvalidSpec
from node.model import PeerId, cut
from node.receipt.broken import BrokenError, require
from node.receipt.files import check_files, manifests_of
from node.receipt.sign import read, signed_by_peer
from node.receipt.statement import InTotoStatement, Predicate, rule_of
from node.receipt.votes import check_draw, check_plan, check_shard


@dataclass(frozen=True, slots=True)
class Holds:
    """Everything is as it should be, and what is there was verified by vote; ``predicate.missing`` has no result."""

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


def check(receipt: bytes, results: Path | None = None, *, requester: PeerId | None = None) -> Checked:
    """Check a receipt, and the files in ``results`` if given. Blocking, as long as it takes to read them.

    ``requester``: whose it has to be; without it, it is checked to be of the requester that it names.
    """
    try:
        statement = _opened(receipt, requester)
        predicate = statement.predicate
        _check_spec(predicate)
        check_draw(predicate)
        check_plan(predicate)
        for shard in predicate.shards:
            check_shard(predicate, shard)
        manifests = manifests_of(statement)
        require(bool(manifests), "there is no result in it")
        if results is not None:
            check_files(manifests, predicate, results)
    except BrokenError as broken:
        return Broken(cut(str(broken)))
    files = None if results is None else len(statement.subject)
    return (Holds if predicate.rule.verifier == "deterministic" else Unverified)(predicate, files)


def _opened(receipt: bytes, requester: PeerId | None) -> InTotoStatement:
    if len(receipt) > limits.RECEIPT_BYTES_MAX:
        raise BrokenError(f"this is no receipt: it has {len(receipt)} bytes, the limit is {limits.RECEIPT_BYTES_MAX}")
    try:
        envelope, statement = read(receipt)
        named = PeerId(statement.predicate.requester)
        if requester is not None and named != requester:
            raise BrokenError(f"it is a receipt of requester {named}, not of {requester}")
        if not signed_by_peer(envelope, named):
            raise BrokenError(f"the requester's signature does not hold: the receipt is not what {named} signed")
    except ValueError as error:
        raise BrokenError(str(error)) from error
    return statement


def _check_spec(predicate: Predicate) -> None:
    job = predicate.spec
    try:
        complete = spec.completed(job) == job == spec.stripped(job)
    except InvalidSpec as error:
        raise BrokenError(f"the spec breaks its own rules: {error}") from error
    require(complete, "the spec is not complete")
    require(spec.spec_hash(job) == predicate.spec_sha256, "the spec does not have the hash that the receipt gives")
    require(rule_of(job) == predicate.rule, "the rule is not the one that the spec asks for")
    require(predicate.submitted_at <= predicate.finished_at, "the job ended before it was submitted")
