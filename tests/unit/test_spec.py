"""The way into a spec: every rule has an error that names its field."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.errors import InvalidSpec
from node.spec import canonical, parse, spec_hash

MODULE = "ab" * 32


def body(**changes):
    return json.dumps({"engine": {"type": "wasm", "module": MODULE}} | changes).encode()


def test_what_is_not_given_is_filled_in():
    spec = parse(body(deal={"concurrency": 5}, verifier="deterministic"))
    assert spec.deal.confidence == 3
    assert [output.name for output in spec.outputs] == ["outputs"]


def test_an_explicit_zero_stays_the_plurality():
    assert parse(body(deal={"concurrency": 5, "confidence": 0})).deal.confidence == 0


def test_a_parsed_spec_parses_to_itself_and_its_hash_stays():
    spec = parse(body(deal={"concurrency": 4}, inputs=[{"type": "cid", "cid": "apples", "path": "/inputs"}]))
    again = parse(canonical(spec))
    assert again == spec
    assert spec_hash(again) == spec_hash(spec)


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"deal": {"concurrency": 5, "confidence": 6}}, "$.deal.confidence"),
        ({"deal": {"concurrency": 0}}, "$.deal.concurrency"),
        ({"deal": {"concurrency": 65}}, "$.deal.concurrency"),
        ({"deal": {"min_bids": -1}}, "$.deal.min_bids"),
        ({"verifier": "deterministic"}, "$.deal.concurrency"),
        ({"verifier": "psychic"}, "$.verifier"),
        ({"engine": {"type": "wasm", "module": "../x"}}, "$.engine.module"),
        ({"engine": {"type": "punch cards", "module": MODULE}}, "$.engine.type"),
        ({"engine": {"type": "docker", "image": "-v"}}, "$.engine.image"),
        ({"engine": {"type": "docker", "image": "a", "workdir": "/a/../b"}}, "$.engine.workdir"),
        ({"engine": {"type": "docker", "image": "a", "digest": "sha256:1"}}, "$.engine.digest"),
        (
            {"engine": {"type": "docker", "image": "a"}, "resources": {"memory_bytes": (6 << 20) - 1}},
            "$.resources.memory_bytes",
        ),
        ({"engine": {"type": "wasm", "module": MODULE, "fuel": 1, "profile": "native"}}, "$.engine.fuel"),
        ({"engine": {"type": "wasm", "module": MODULE, "stdin": "/elsewhere"}}, "$.engine.stdin"),
        ({"engine": {"type": "wasm", "module": MODULE, "args": ["a\0b"]}}, "$.engine.args[0]"),
        ({"engine": {"type": "wasm", "module": MODULE, "env": {"A=B": "c"}}}, "$.engine.env['A=B']"),
        ({"inputs": [{"type": "cid", "cid": "a", "path": "relative"}]}, "$.inputs[0].path"),
        ({"inputs": [{"type": "cid", "cid": "a", "path": "/a/../b"}]}, "$.inputs[0].path"),
        ({"inputs": [{"type": "cid", "cid": "a", "path": "/a/"}]}, "$.inputs[0].path"),
        ({"inputs": [{"type": "cid", "cid": "a", "path": "//a"}]}, "$.inputs[0].path"),
        (
            {"inputs": [{"type": "cid", "cid": "a", "path": "/x"}, {"type": "cid", "cid": "b", "path": "/x"}]},
            "$.inputs[1].path",
        ),
        ({"inputs": [{"type": "cid", "cid": "a", "path": "/outputs"}]}, "$.outputs[0].path"),
        ({"inputs": [{"type": "cid", "cid": "", "path": "/x"}]}, "$.inputs[0].cid"),
        ({"outputs": [{"name": "stdout", "path": "/o"}]}, "$.outputs[0].name"),
        ({"outputs": [{"name": "../x", "path": "/o"}]}, "$.outputs[0].name"),
        ({"outputs": [{"name": "a", "path": "/o"}, {"name": "a", "path": "/p"}]}, "$.outputs[1].name"),
        ({"name": "a/b"}, "$.name"),
        ({"timeout_s": 0}, "$.timeout_s"),
        ({"timeout_s": 1e12}, "$.timeout_s"),
        ({"resources": {"memory_bytes": 0}}, "$.resources.memory_bytes"),
        ({"colour": "blue"}, "$"),
        ({"version": 2}, "$.version"),
    ],
)
def test_a_broken_rule_names_its_field(changes, path):
    with pytest.raises(InvalidSpec) as caught:
        parse(body(**changes))
    assert caught.value.path == path


@pytest.mark.parametrize("text", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"null", b'{"engine": 1e999}'])
def test_what_is_no_spec_is_one_error_too(text):
    with pytest.raises(InvalidSpec):
        parse(text)


def test_an_over_long_body_is_refused_before_it_is_parsed():
    with pytest.raises(InvalidSpec, match="at most"):
        parse(b" " * 2_000_000 + body())


@given(st.binary(max_size=200))
def test_any_bytes_are_a_spec_or_one_error(text):
    with contextlib.suppress(InvalidSpec):
        parse(text)
