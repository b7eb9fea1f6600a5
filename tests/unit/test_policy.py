"""Which jobs an operator takes: lists, the built-in rule, and what a probe is told."""

from __future__ import annotations

import msgspec
import pytest
from doubles.peers import identity, peer

from node.compute.policy import asked, policy_of
from node.config import SelectionConfig
from node.identity import pseudonym
from node.messages import Offer
from node.model import CidInput, DockerEngine, InlineFile, InlineInput, JobSpec, WasmEngine

ME, FRIEND, STRANGER = peer(0), peer(1), peer(2)
ALICE, BOB = (identity(number).public_key.hex() for number in (11, 12))
MODULE, OTHER = "a" * 64, "b" * 64
IMAGE, ANOTHER = f"sha256:{MODULE}", f"sha256:{OTHER}"


def policy(**config):
    return policy_of(ME, SelectionConfig(**config))


def offer(requester=STRANGER, client=BOB, engine=None, inputs=()):
    spec = JobSpec(engine=engine or WasmEngine(module=MODULE), inputs=inputs)
    return Offer("1" * 32, pseudonym(requester, client), spec, 8)


@pytest.mark.parametrize(
    ("listed", "requester", "client", "knows"),
    [
        ({ALICE}, ME, ALICE, True),  # Signed in at this node itself.
        ({ALICE}, ME, BOB, False),
        ({ALICE}, FRIEND, ALICE, False),  # Anybody can say so who knows her public key.
        ({FRIEND}, FRIEND, BOB, True),
        ({FRIEND}, STRANGER, BOB, False),
        ({FRIEND}, ME, BOB, False),
        ({f"{FRIEND}/{ALICE}"}, FRIEND, ALICE, True),
        ({f"{FRIEND}/{ALICE}"}, FRIEND, BOB, False),
        ({f"{FRIEND}/{ALICE}"}, STRANGER, ALICE, False),
        ({f"{FRIEND}/{ALICE}"}, ME, ALICE, False),
        ({f"{FRIEND}/{ALICE}", BOB}, ME, BOB, True),
        (set(), ME, ALICE, False),
        (None, STRANGER, BOB, True),
    ],
)
def test_a_client_is_who_this_node_knows_it_to_be(listed, requester, client, knows):
    rule = policy(clients=None if listed is None else frozenset(listed))
    refused = rule.refused_by_lists(requester, offer(requester, client))
    assert refused == (None if knows else "its operator works for listed clients alone")


def test_a_pseudonym_of_another_node_is_nobody_here():
    stolen = msgspec.structs.replace(offer(), client=pseudonym(FRIEND, ALICE))
    assert policy(clients=frozenset({ALICE, f"{STRANGER}/{ALICE}"})).refused_by_lists(STRANGER, stolen) is not None


WASM = WasmEngine(module=MODULE)
PINNED = DockerEngine(image="i", digest=IMAGE)
LOCAL = DockerEngine(image="i", image_id=IMAGE)


@pytest.mark.parametrize(
    ("lists", "engine", "runs"),
    [
        ({}, DockerEngine(image="i"), True),
        ({"modules": {MODULE}}, WASM, True),
        ({"modules": {OTHER}}, WASM, False),
        ({"modules": {MODULE}}, PINNED, False),  # A list of one kind is a list of all that runs.
        ({"image_digests": {IMAGE}}, PINNED, True),
        ({"image_digests": {IMAGE}}, LOCAL, True),
        ({"image_digests": {ANOTHER}}, PINNED, False),
        ({"image_digests": {IMAGE}}, DockerEngine(image="i", digest=ANOTHER, image_id=IMAGE), False),
        ({"image_digests": {IMAGE}}, DockerEngine(image="i"), False),
        ({"image_digests": {IMAGE}}, WASM, False),
        ({"image_digests": {IMAGE}, "modules": {MODULE}}, WASM, True),
        ({"modules": set()}, WASM, False),
    ],
)
def test_with_a_list_only_what_is_on_it_runs(lists, engine, runs):
    rule = policy(**{name: frozenset(entries) for name, entries in lists.items()})
    refused = rule.refused_by_lists(STRANGER, offer(engine=engine))
    assert refused == (None if runs else "its operator runs listed programs alone")


DATA = CidInput(cid="x", path="/inputs")
INLINE = InlineInput(files={"a": InlineFile(content=b"secret", size=6, sha256="0" * 64)}, path="/small")


@pytest.mark.parametrize(
    ("config", "inputs", "fetches", "takes"),
    [
        ({}, (), False, True),
        ({}, (DATA,), True, True),
        ({"rejects_stateless": True}, (), False, False),
        ({"rejects_stateless": True}, (INLINE,), False, False),
        ({"rejects_stateless": True}, (INLINE, DATA), True, True),
        ({"data_locality": "local"}, (), False, True),
        ({"data_locality": "local"}, (DATA,), False, True),
        ({"data_locality": "local"}, (DATA,), True, False),
        ({"data_locality": "local", "rejects_stateless": True}, (DATA,), False, True),
        ({"data_locality": "local", "rejects_stateless": True}, (), False, False),
    ],
)
def test_the_built_in_rule(config, inputs, fetches, takes):
    spec = offer(inputs=inputs).spec
    assert (policy(**config).refused_by_rule(spec, fetches=fetches) is None) == takes


def test_local_means_that_nothing_is_fetched_unless_a_probe_decides():
    assert policy().fetches_data
    assert not policy(data_locality="local").fetches_data
    assert policy_of(ME, SelectionConfig(data_locality="local"), object()).fetches_data


def test_a_probe_is_told_the_job_and_no_content():
    question = asked(STRANGER, offer(inputs=(INLINE, DATA)))
    told = msgspec.json.decode(question)
    assert question.endswith(b"\n")
    assert question.count(b"\n") == 1
    assert set(told) == {"version", "job", "requester", "client", "spec"}
    assert (told["version"], told["requester"], told["client"]) == (1, STRANGER, pseudonym(STRANGER, BOB))
    assert told["spec"]["inputs"][0]["files"] == {"a": {"content": None, "size": 6, "sha256": "0" * 64}}
    assert b"secret" not in question
    assert b"c2VjcmV0" not in question
