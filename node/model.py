"""Nouns of the domain: identifiers and immutable records.

Lives here: what a job spec, an input, a draw *are*. The spec is one versioned document, the same bytes in the
client's request, in the offer and in the receipt, because its hash is signed.
Does not live here: rules between fields (``node.spec``), how things travel (``node.messages``), what is kept
(``node.journal``), what is decided (``node.requester``, ``node.verifier``).
"""

from __future__ import annotations

from typing import Annotated, Literal, NewType, assert_never

import msgspec

from node import limits

PeerId = NewType("PeerId", str)  # libp2p peer id, base58: ``12D3KooW…``
ClientId = NewType("ClientId", str)  # A client's Ed25519 public key, 64 hex digits.
JobId = NewType("JobId", str)  # 32 hex digits, drawn by the requester.
ExecutionId = NewType("ExecutionId", str)  # 32 hex digits, drawn by the requester with the accept.
Sha256 = NewType("Sha256", str)  # 64 hex digits.
DirHash = NewType("DirHash", str)  # ``h1:…``; the empty string is "none".

Hex32 = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{32}\Z")]
Hex64 = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]
PeerName = Annotated[str, msgspec.Meta(pattern=r"\A[1-9A-HJ-NP-Za-km-z]{40,64}\Z")]
JobName = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")]
GuestPath = Annotated[str, msgspec.Meta(pattern=r"\A/[^\x00-\x1f]{1,511}\Z")]
StoreUrl = Annotated[
    str, msgspec.Meta(max_length=limits.URL_CHARS_MAX, pattern=r"\A(?:s3|az)://[^/\x00-\x20]+(?:/[^\x00-\x1f]*)?\Z")
]
CidText = Annotated[str, msgspec.Meta(pattern=r"\A[^\x00-\x1f]{1,256}\Z")]
Url = Annotated[str, msgspec.Meta(max_length=limits.URL_CHARS_MAX, pattern=r"\A[^\x00-\x20]*\Z")]
ETag = Annotated[str, msgspec.Meta(max_length=512, pattern=r"\A[^\x00-\x1f]*\Z")]
Argument = Annotated[str, msgspec.Meta(max_length=limits.ARG_BYTES_MAX, pattern=r"\A[^\x00]*\Z")]
Arguments = Annotated[tuple[Argument, ...], msgspec.Meta(max_length=limits.ARGS_MAX)]
Variables = Annotated[dict[str, Argument], msgspec.Meta(max_length=limits.ARGS_MAX)]
ImageName = Annotated[str, msgspec.Meta(pattern=r"\A[a-zA-Z0-9][a-zA-Z0-9._:/@-]{0,511}\Z")]
RuntimeName = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9._-]{0,64}\Z")]
Digest = Annotated[str, msgspec.Meta(pattern=r"\Asha256:[0-9a-f]{64}\Z")]
Reason = Annotated[str, msgspec.Meta(max_length=4 * limits.REASON_CHARS_MAX)]

# What every execution leaves beside its outputs; no output may be called so.
STDOUT, STDERR, EXIT_CODE = "stdout", "stderr", "exitCode"
STREAMS = (STDOUT, STDERR)
RESULT_NAMES = frozenset({*STREAMS, EXIT_CODE})

Verifier = Literal["deterministic", "noop"]

# What of a result is compared: all of it, or all but stdout and stderr.
VotedOn = Literal["all", "outputs"]

# Why a node does not bid. Closed, shown to users, stable.
DeclineCode = Literal["engine", "verifier", "resources", "disk", "full", "policy", "data", "internal"]

# Why an execution gave no proposal. Closed, shown to users, stable.
FailureCode = Literal[
    "module",  # the module could not be had, or does not compile
    "data",  # an input could not be prepared
    "trap",  # the workload trapped
    "time",  # wall-clock limit
    "cpu",  # CPU-time limit
    "memory",  # memory limit
    "output",  # size or number of results
    "result",  # the result directory holds something that cannot be hashed
    "full",  # the node had no room after all
    "internal",  # the node's own fault
    "lost",  # the node went away
    "late",  # no answer by the deadline
    "cancelled",
]


class _Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of everything that is parsed from outside."""


class WasmEngine(_Document, frozen=True, kw_only=True, tag="wasm", tag_field="type"):
    """A WASI preview 1 command module, named by the sha256 of its bytes.

    ``profile``: what the program sees of its machine (``docs/determinism.md``). ``isolation`` "process": a process that
    no other execution had or will have. ``fuel``: what it may execute, counted alike on every node; None: no limit.
    ``stdin``: the input, or the file of one, that it reads as standard input; None: it is empty.
    """

    module: Hex64
    args: Arguments = ()
    env: Variables = {}
    profile: Literal["deterministic", "native"] = "deterministic"
    isolation: Literal["shared", "process"] = "shared"
    fuel: Annotated[int, msgspec.Meta(ge=1, le=2**62)] | None = None
    stdin: GuestPath | None = None


class DockerEngine(_Document, frozen=True, kw_only=True, tag="docker", tag_field="type"):
    """A container image.

    The requester pins what ``image`` names, once: ``digest`` of a registry's manifest, or, for an image that is in no
    registry, ``image_id``; every node runs that. ``entrypoint`` None: the image's own. ``isolation`` is the least that
    the job takes: "sandbox" is a kernel of its own in front of the host's, such as gVisor; ``runtime`` names the one,
    "" leaves it to the node. ``root``: it needs user 0 inside.
    """

    image: ImageName
    digest: Digest | None = None
    image_id: Digest | None = None
    entrypoint: Arguments | None = None
    args: Arguments = ()
    env: Variables = {}
    workdir: GuestPath | None = None
    network: Literal["none", "full"] = "none"
    isolation: Literal["container", "sandbox"] = "container"
    runtime: RuntimeName = ""
    root: bool = False


EngineSpec = WasmEngine | DockerEngine


class CidInput(_Document, frozen=True, kw_only=True, tag="cid", tag_field="type"):
    """Data by CID, shown to the job read-only at ``path``. ``verify``: unsealed bytes are checked against it first."""

    cid: CidText
    path: GuestPath
    verify: bool = False


class UrlInput(_Document, frozen=True, kw_only=True, tag="url", tag_field="type"):
    """A file of the web, shown as the file ``path``.

    The requester fills in what it saw, once, so that a node that sees other bytes is told apart from a liar.
    """

    url: Url
    path: GuestPath
    size: Annotated[int, msgspec.Meta(ge=1, le=2**62)] | None = None  # bytes
    etag: ETag | None = None
    sha256: Hex64 | None = None


class InlineFile(_Document, frozen=True, kw_only=True):
    """A small file inside the spec. A client gives ``content``; the requester names it by size and hash instead,
    so that offers and receipts stay short, and hands it to the nodes that run the job.
    """

    content: Annotated[bytes, msgspec.Meta(max_length=limits.INLINE_INPUT_BYTES)] | None = None
    size: Annotated[int, msgspec.Meta(ge=0, le=limits.INLINE_INPUT_BYTES)] | None = None
    sha256: Hex64 | None = None


class InlineInput(_Document, frozen=True, kw_only=True, tag="inline", tag_field="type"):
    """Small files by name, shown inside the folder ``path``."""

    files: Annotated[dict[str, InlineFile], msgspec.Meta(min_length=1, max_length=limits.INLINE_INPUT_FILES)]
    path: GuestPath


class LocalInput(_Document, frozen=True, kw_only=True, tag="local", tag_field="type"):
    """A file or folder of the node that runs the job, below a folder that its operator lists."""

    source: GuestPath  # on the node
    path: GuestPath


class ObjectInput(_Document, frozen=True, kw_only=True, tag="object_store", tag_field="type"):
    """Objects of a store: ``s3://bucket/prefix`` or ``az://container/prefix``. Credentials are the node's own."""

    url: StoreUrl
    path: GuestPath


Input = CidInput | UrlInput | InlineInput | LocalInput | ObjectInput


class Sharding(_Document, frozen=True, kw_only=True):
    """How inputs are cut into shards: doublestar ``glob_pattern`` below ``base_path``, ``batch_size`` matches each."""

    glob_pattern: Annotated[str, msgspec.Meta(min_length=1, max_length=1024, pattern=r"\A[^\x00]*\Z")]
    base_path: Annotated[str, msgspec.Meta(max_length=512, pattern=r"\A[^\x00]*\Z")] = "/inputs"
    batch_size: Annotated[int, msgspec.Meta(ge=1, le=limits.ATOMS_MAX)] = 1


class VaultPublisher(_Document, frozen=True, kw_only=True, tag="vault", tag_field="type"):
    """The requester keeps the results for their owner."""


class IpfsPublisher(_Document, frozen=True, kw_only=True, tag="ipfs", tag_field="type"):
    """A winner adds them to IPFS and pins them; the receipt has the CID."""


class ObjectPublisher(_Document, frozen=True, kw_only=True, tag="object_store", tag_field="type"):
    """A winner writes them below ``url`` with its own credentials, where its operator allows that."""

    url: StoreUrl


class LocalPublisher(_Document, frozen=True, kw_only=True, tag="local", tag_field="type"):
    """A winner writes them below a folder that its operator lists and the requester can read, as on an NFS share."""

    folder: GuestPath


class NonePublisher(_Document, frozen=True, kw_only=True, tag="none", tag_field="type"):
    """Nobody keeps them: the verdict and the receipt are all."""


Publisher = VaultPublisher | IpfsPublisher | ObjectPublisher | LocalPublisher | NonePublisher


class Output(_Document, frozen=True, kw_only=True):
    """A writable folder at ``path``, kept in the results as ``name/``."""

    name: JobName
    path: GuestPath


class Resources(_Document, frozen=True, kw_only=True):
    """What one execution may use: reserved before it starts, enforced while it runs."""

    cpu: Annotated[float, msgspec.Meta(gt=0, le=256)] = 0.1  # cores, reserved
    memory_bytes: Annotated[int, msgspec.Meta(ge=1, le=1024 * limits.GiB)] = 100_000_000
    disk_bytes: Annotated[int, msgspec.Meta(ge=1, le=1024 * limits.GiB)] = 1_000_000_000
    gpus: Annotated[int, msgspec.Meta(ge=0, le=limits.GPUS_MAX)] = 0


class Deal(_Document, frozen=True, kw_only=True):
    """How much redundancy is bought.

    ``confidence`` None means the majority, ``concurrency // 2 + 1``; 0 the plurality.
    """

    concurrency: Annotated[int, msgspec.Meta(ge=1, le=limits.CONCURRENCY_MAX)] = 1
    confidence: Annotated[int, msgspec.Meta(ge=0, le=limits.CONCURRENCY_MAX)] | None = None
    min_bids: Annotated[int, msgspec.Meta(ge=0, le=limits.MIN_BIDS_MAX)] = 0
    bid_window_s: Annotated[float, msgspec.Meta(gt=0, le=limits.BID_WINDOW_S_MAX)] = 10.0
    holders_first: bool = True  # nodes that need to fetch nothing are chosen before others
    ready_first: bool = True  # nodes that can start at once are chosen before others

    @property
    def bids_needed(self) -> int:
        """Bids that must be in before anyone is chosen."""
        return max(self.min_bids, self.concurrency)


OUTPUTS_DEFAULT = (Output(name="outputs", path="/outputs"),)


class JobSpec(_Document, frozen=True, kw_only=True):
    """What to run, on what, how often, and how it is judged. ``node.spec.parse`` is the way in."""

    version: Literal[1] = 1
    name: JobName = "job"
    engine: EngineSpec
    inputs: Annotated[tuple[Input, ...], msgspec.Meta(max_length=limits.INPUTS_MAX)] = ()
    outputs: Annotated[tuple[Output, ...], msgspec.Meta(max_length=limits.OUTPUTS_MAX)] = OUTPUTS_DEFAULT
    sharding: Sharding | None = None
    publisher: Publisher = VaultPublisher()
    verifier: Verifier = "noop"
    vote_on: VotedOn = "all"
    deal: Deal = Deal()
    resources: Resources = Resources()
    timeout_s: Annotated[float, msgspec.Meta(gt=0, le=limits.TIMEOUT_S_MAX)] = 600.0


# What each shard sees: guest paths such as ``/inputs/a.txt``. Frozen at submission; a job without sharding has none.
Plan = tuple[tuple[str, ...], ...]


class Draw(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every shard's nodes follow from (``node.verifier.draw``): who bid, who of them said that it holds the data,
    who that it would have to wait for room, and a salt (hex of 32 random bytes, drawn after the bids were in).
    """

    bidders: tuple[PeerName, ...]  # sorted
    holders: tuple[PeerName, ...]  # sorted, some of the bidders; none when ``Deal.holders_first`` is false
    waiting: tuple[PeerName, ...] = ()  # sorted, some of the bidders; none when ``Deal.ready_first`` is false
    salt: Hex64


def engine_name(spec: JobSpec) -> str:
    """Which engine it needs, as the spec's ``type`` says."""
    return str(spec.engine.__struct_config__.tag)


def module_of(engine: EngineSpec) -> Sha256 | None:
    """The WASM module that an engine needs from the requester, if any."""
    return Sha256(engine.module) if isinstance(engine, WasmEngine) else None


def shown(ref: Input) -> str:
    """An input in a few words, for reasons and for people."""
    match ref:
        case CidInput():
            return ref.cid
        case UrlInput() | ObjectInput():
            return ref.url
        case LocalInput():
            return f"the local {ref.source}"
        case InlineInput():
            return f"the inline files at {ref.path}"
        case _:
            assert_never(ref)


def about(seconds: float) -> str:
    """A time that is not known well, in words: ``about 40 s``, ``about 3 min``."""
    if seconds >= 1e7:
        return "a very long time"
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"about {seconds / size:.0f} {unit}"
    return f"about {max(1.0, seconds):.0f} s"


def cut(reason: str) -> str:
    """A peer's words, short enough to keep and show, without control characters."""
    clean = "".join(c if c.isprintable() else "\ufffd" for c in reason)
    return clean if len(clean) <= limits.REASON_CHARS_MAX else clean[: limits.REASON_CHARS_MAX - 1] + "…"
