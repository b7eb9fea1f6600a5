"""Specs at the border of each rule."""

from __future__ import annotations

import json

import msgspec
import pytest
from unit.test_spec import MODULE, body

from node import limits
from node.errors import InvalidSpec
from node.model import JobSpec
from node.spec import PATTERN_WORDS, canonical, parse


def engine(**changes):
    return {"engine": {"type": "wasm", "module": MODULE} | changes}


@pytest.mark.parametrize(("concurrency", "majority"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (64, 33)])
def test_the_majority_is_more_than_half(concurrency, majority):
    assert parse(body(deal={"concurrency": concurrency})).deal.confidence == majority


def test_all_may_have_to_agree():
    assert parse(body(deal={"concurrency": 3, "confidence": 3})).deal.confidence == 3


def test_two_can_be_compared():
    assert parse(body(deal={"concurrency": 2}, verifier="deterministic")).deal.concurrency == 2


def test_a_body_of_just_the_limit_is_read():
    text = body()
    assert parse(text + b" " * (limits.SPEC_BODY_BYTES_MAX - len(text)))
    with pytest.raises(InvalidSpec, match="at most"):
        parse(text + b" " * (limits.SPEC_BODY_BYTES_MAX - len(text) + 1))


@pytest.mark.parametrize(
    "path", ["/.", "/./a", "/a/.", "/..", "/a/..", "/a//b", "/a/", "/a\nb", "/", "", "/" + "a" * 512]
)
def test_a_path_has_one_spelling(path):
    with pytest.raises(InvalidSpec) as caught:
        parse(body(outputs=[{"name": "a", "path": path}]))
    assert caught.value.path == "$.outputs[0].path"


@pytest.mark.parametrize("path", ["/a", "/...", "/.a/b.", "/a b/ü", "/" + "a" * 511])
def test_a_harmless_path_is_taken_as_it_is(path):
    assert parse(body(outputs=[{"name": "a", "path": path}])).outputs[0].path == path


@pytest.mark.parametrize("name", ["", "A=B", "A\0B", "A" * (limits.ARG_BYTES_MAX + 1)])
def test_a_variable_needs_a_name(name):
    with pytest.raises(InvalidSpec) as caught:
        parse(body(**engine(env={name: "v"})))
    assert caught.value.path.startswith("$.engine.env[")


def test_a_variable_may_have_any_other_name():
    assert parse(body(**engine(env={"A" * limits.ARG_BYTES_MAX: "v=w", "ü": ""}))).engine.env["ü"] == ""


@pytest.mark.parametrize("name", ["stdout", "stderr", "exitCode"])
def test_no_output_is_called_as_what_is_always_there(name):
    with pytest.raises(InvalidSpec) as caught:
        parse(body(outputs=[{"name": "a", "path": "/a"}, {"name": name, "path": "/b"}]))
    assert caught.value.path == "$.outputs[1].name"


def test_outputs_have_names_of_their_own_also_far_apart():
    outputs = [{"name": name, "path": f"/{number}"} for number, name in enumerate("abca")]
    with pytest.raises(InvalidSpec) as caught:
        parse(body(outputs=outputs))
    assert caught.value.path == "$.outputs[3].name"


def test_the_canonical_bytes_do_not_depend_on_the_order_of_the_request():
    one, other = ({"B": "2", "A": "1"}, {"A": "1", "B": "2"})
    assert canonical(parse(body(**engine(env=one)))) == canonical(parse(body(**engine(env=other))))
    text = canonical(parse(body()))
    assert text == json.dumps(json.loads(text), sort_keys=True, separators=(",", ":")).encode()


def patterns_of(kind: msgspec.inspect.Type) -> set[str]:
    """Every pattern that a value of this type has to match, anywhere in it."""
    found = {kind.pattern} if isinstance(kind, msgspec.inspect.StrType) and kind.pattern else set()
    below = [getattr(kind, name) for name in ("key_type", "value_type", "item_type") if hasattr(kind, name)]
    below += [field.type for field in getattr(kind, "fields", ())]
    return found.union(*map(patterns_of, [*below, *getattr(kind, "types", ())]))


def test_every_pattern_of_a_spec_is_told_in_words() -> None:
    patterns = patterns_of(msgspec.inspect.type_info(JobSpec))
    assert patterns == PATTERN_WORDS.keys()


def test_nobody_meets_a_regular_expression() -> None:
    with pytest.raises(InvalidSpec) as caught:
        parse(b'{"engine": {"type": "wasm", "module": "x"}}')
    assert str(caught.value) == "expected a sha256 in 64 lower-case hex digits at `$.engine.module`"
