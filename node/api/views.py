"""What the HTTP API says about jobs and nodes: its own structs, version ``/v1``.

Lives here: shapes of answers, used by the server and by the command line. Does not live here: how they are made from
records (``node.api.viewing``), routes, status codes.
Times are RFC 3339 in UTC. A field that does not apply is null; nothing is left out.
"""

from __future__ import annotations

import msgspec

from node.model import JobSpec


class _View(msgspec.Struct, frozen=True, kw_only=True):
    """Base of everything that is answered."""


class AnswerView(_View, frozen=True, kw_only=True):
    """What a node answered to the offer: ``code`` null means it bid; ``holds``: it needs to fetch nothing; ``wait_s``:
    how long it would have to wait for room, about.
    """

    peer: str
    code: str | None
    reason: str
    holds: bool
    wait_s: float


class DrawView(_View, frozen=True, kw_only=True):
    """Among whom was drawn, who of them came first, who last, and the salt that anyone can repeat it with."""

    salt: str
    bidders: tuple[str, ...]
    holders: tuple[str, ...]
    waiting: tuple[str, ...]


class ExecutionView(_View, frozen=True, kw_only=True):
    """One run on one node. ``state``: waiting, accepted, running, proposed or failed.

    ``sources``: which driver of the node served each input, as it says. ``wait_s``: how long it waits for room, about.
    """

    execution: str
    peer: str
    state: str
    hash: str | None
    code: str | None
    reason: str
    agreed: bool | None
    lied: str | None
    sources: tuple[str, ...]
    wait_s: float


class GroupView(_View, frozen=True, kw_only=True):
    """Nodes that proposed the same hash."""

    hash: str
    peers: tuple[str, ...]


class VerdictView(_View, frozen=True, kw_only=True):
    """``kind``: verified, not_verified or unchecked (noop)."""

    kind: str
    hash: str
    groups: tuple[GroupView, ...]
    reason: str


class FailureView(_View, frozen=True, kw_only=True):
    """Why a job or a shard ended without results."""

    code: str
    reason: str


class ResultsView(_View, frozen=True, kw_only=True):
    """What is kept for the owner, of all shards together."""

    hash: str
    files: int
    bytes: int


class ShardResultsView(_View, frozen=True, kw_only=True):
    """What won a shard; ``hash`` is of its files under their own names, as nodes voted on it.

    ``location`` is the URI where they are published; empty: the node keeps them, or nobody does.
    """

    hash: str
    files: int
    bytes: int
    peer: str
    exit_code: int | None
    location: str


class PathsView(_View, frozen=True, kw_only=True):
    """What a shard sees of the inputs, as paths of the job: how many, and the first of them, at most 10."""

    count: int
    first: tuple[str, ...]


class ShardView(_View, frozen=True, kw_only=True):
    """One shard. ``state``: waiting, running, handing_over; completed, not_verified, failed, cancelled."""

    shard: int
    state: str
    paths: PathsView
    executions: tuple[ExecutionView, ...]
    verdict: VerdictView | None
    failure: FailureView | None
    results: ShardResultsView | None


class ShardList(_View, frozen=True, kw_only=True):
    """Some shards of a job, in order."""

    shards: tuple[ShardView, ...]


class TallyView(_View, frozen=True, kw_only=True):
    """How many shards are in which state."""

    waiting: int
    running: int
    handing_over: int
    completed: int
    not_verified: int
    failed: int
    cancelled: int


class JobView(_View, frozen=True, kw_only=True):
    """A job. ``state``: bidding, running, handing_over; completed, not_verified, failed, cancelled.

    A job without sharding has one shard. ``details``: those that failed first, then the others; at most 100.
    """

    id: str
    name: str
    state: str
    submitted_at: str
    deadline: str
    ended_at: str | None
    spec: JobSpec
    spec_sha256: str
    plan_sha256: str | None
    answers: tuple[AnswerView, ...]
    draw: DrawView | None
    shards: int
    tally: TallyView
    details: tuple[ShardView, ...]
    failure: FailureView | None
    reason: str
    results: ResultsView | None


class PlanView(_View, frozen=True, kw_only=True):
    """The shards of a spec: what each sees of the inputs, as paths of the job."""

    shards: tuple[tuple[str, ...], ...]


class JobSummary(_View, frozen=True, kw_only=True):
    """One line of a list."""

    id: str
    name: str
    state: str
    submitted_at: str
    ended_at: str | None
    verdict: str | None
    shards: int
    completed: int
    reason: str


class JobList(_View, frozen=True, kw_only=True):
    """The newest jobs of the caller."""

    jobs: tuple[JobSummary, ...]


class EventView(_View, frozen=True, kw_only=True):
    """One line of a job's history; the ``data`` of a server-sent event whose ``id`` is ``seq``."""

    seq: int
    at: str
    kind: str
    peer: str | None
    execution: str | None
    shard: int | None
    text: str


class LogView(_View, frozen=True, kw_only=True):
    """A piece of an execution's output; the ``data`` of a server-sent event.

    ``kind``: execution (whose output follows; ``text`` says what it is worth), stdout or stderr (``data``, in base64),
    note or end (``text``, which may be empty at the end). ``stdout`` and ``stderr`` are what the caller has behind it,
    in bytes.
    """

    kind: str
    shard: int
    execution: str | None
    peer: str | None
    stdout: int
    stderr: int
    data: bytes
    text: str


class FileView(_View, frozen=True, kw_only=True, gc=False):
    """One result file; ``name`` is relative to the results folder. ``voted``: it counted in the vote.

    One that did not is the word of the node that handed it over.
    """

    name: str
    size: int
    sha256: str
    voted: bool = True


class ManifestView(_View, frozen=True, kw_only=True):
    """All result files of a job, and their directory hash."""

    hash: str
    files: tuple[FileView, ...]


class ModuleView(_View, frozen=True, kw_only=True):
    """An uploaded module."""

    sha256: str
    size: int


class ContainersView(_View, frozen=True, kw_only=True):
    """What jobs may have of a node's containers. ``runtimes``: those that they may name; ``sandboxes``: among these."""

    network: bool
    root: bool
    runtimes: tuple[str, ...]
    sandboxes: tuple[str, ...]


class NodeView(_View, frozen=True, kw_only=True):
    """The node that answers. ``peer_id`` is the audience of tokens for it. ``gpus``: the model of each for jobs.

    ``containers`` is null while it can run none.
    """

    peer_id: str
    version: str
    addresses: tuple[str, ...]
    engines: tuple[str, ...]
    storages: tuple[str, ...]
    gpus: tuple[str, ...]
    peers: int
    containers: ContainersView | None = None


class PeerList(_View, frozen=True, kw_only=True):
    """Peers with a session, sorted."""

    peers: tuple[str, ...]


class Problem(_View, frozen=True, kw_only=True):
    """RFC 9457 problem details. ``code`` is stable; ``path`` names the offending field: ``$.deal.concurrency``."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    path: str | None = None
