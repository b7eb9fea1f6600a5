"""Which jobs an operator takes, of those that the node could run.

Allow-lists come before everything, so that whoever is not on them learns nothing of this node and has it do nothing.
The rest comes last: an exec probe decides alone, else an HTTP probe, else the built-in rule: a job without data is
taken unless ``rejects_stateless``; with locality ``local`` every input must be held, with nothing to fetch. Inline
files are part of the job, like its program: they are no data, and fetching them from the requester is no fetching.
Does not live here: how a probe is asked (``node.compute.probes``), reading lists from files (``cli.serve``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from node.config import SelectionConfig
from node.identity import pseudonym
from node.messages import Offer
from node.model import DockerEngine, InlineInput, JobSpec, PeerId, WasmEngine
from node.spec import stripped

_KEY_CHARS = 64  # of a client's key in hex; a peer id has 52


class Probe(Protocol):
    """An operator's own judgement of offers."""

    async def refusal(self, question: bytes, requester: PeerId) -> str | None:
        """Why not; None to take it. ``question`` is JSON (``asked``). Never raises, and ends within a deadline."""


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What a probe is told: never the contents of inline files. ``client`` is the requester's pseudonym for it."""

    version: int = 1
    job: str
    requester: str
    client: str
    spec: JobSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """``clients``: ``PEER``, all of that requester; ``PEER/PSEUDONYM``, one of them; None: everybody."""

    config: SelectionConfig = field(default_factory=SelectionConfig)
    clients: frozenset[str] | None = None
    probe: Probe | None = None

    @property
    def fetches_data(self) -> bool:
        """Whether inputs may be fetched at all. A probe decides of offers alone, so it does not say."""
        return self.probe is not None or self.config.data_locality == "anywhere"

    def refused_by_lists(self, sender: PeerId, offer: Offer) -> str | None:
        """Why a job is on no list that it has to be on; None when it may go on. Pure."""
        if not self._knows_client(sender, offer.client):
            return "its operator works for listed clients alone"
        return None if self._knows_program(offer.spec) else "its operator runs listed programs alone"

    def refused_by_rule(self, spec: JobSpec, *, fetches: bool) -> str | None:
        """The built-in rule. ``fetches``: some input, inline files apart, is not all here. Pure."""
        if self.config.rejects_stateless and all(isinstance(ref, InlineInput) for ref in spec.inputs):
            return "its operator takes jobs with data alone (inline files are none)"
        if self.config.data_locality == "local" and fetches:
            return "its operator takes jobs alone whose data it holds already"
        return None

    def _knows_client(self, sender: PeerId, client: str) -> bool:
        """A requester is who it proves to be. Which client it works for is its word, except with ourselves."""
        return self.clients is None or sender in self.clients or f"{sender}/{client}" in self.clients

    def _knows_program(self, spec: JobSpec) -> bool:
        """With a list of either kind what is on none does not run, of whatever kind it is."""
        modules, images = self.config.modules, self.config.image_digests
        if modules is None and images is None:
            return True
        match spec.engine:
            case WasmEngine(module=module):
                return module in (modules or ())
            case DockerEngine(digest=digest, image_id=image_id):
                # The digest is what is run where there is one; an image of that id may be something else.
                return (digest or image_id) in (images or ())


def policy_of(local_id: PeerId, config: SelectionConfig, probe: Probe | None = None) -> Policy:
    """What an operator chose; a listed ``KEY`` is a client of this node itself, ``PEER/KEY`` one of another."""
    if config.clients is None:
        return Policy(config=config, probe=probe)
    return Policy(config=config, probe=probe, clients=frozenset(_known(local_id, entry) for entry in config.clients))


def _known(local_id: PeerId, entry: str) -> str:
    peer, _, key = entry.partition("/")
    if len(entry) == _KEY_CHARS:
        peer, key = local_id, entry
    return f"{peer}/{pseudonym(peer, key)}" if key else entry


def asked(sender: PeerId, offer: Offer) -> bytes:
    """What a probe is asked, as one line of JSON."""
    question = Question(job=offer.job, requester=sender, client=offer.client, spec=stripped(offer.spec))
    return msgspec.json.encode(question) + b"\n"
