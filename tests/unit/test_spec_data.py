"""Rules of a spec about data: URLs, inline files, paths, patterns, and what of inline files a spec is named by."""

from __future__ import annotations

import base64
import hashlib
import json

import pytest
from unit.test_spec import body

from node import limits
from node.errors import InvalidSpec
from node.model import InlineInput
from node.spec import canonical, completed, contents, document, parse, paths_sha256, plan_sha256, spec_hash, stripped
from node.spec_data import file_name


def cid(path, name="apples"):
    return {"type": "cid", "cid": name, "path": path}


def url(text, **more):
    return {"type": "url", "url": text, "path": "/inputs"} | more


def inline(files, path="/inputs"):
    return {"type": "inline", "path": path, "files": files}


def content(data: bytes, **more):
    return {"content": base64.b64encode(data).decode()} | more


def problem(**changes):
    with pytest.raises(InvalidSpec) as caught:
        parse(body(**changes))
    return caught.value


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("https://example.org/a.csv", "a.csv"),
        ("http://example.org:8080/b/c%20d.csv?x=1/2", "c d.csv"),
        ("http://[::1]/a", "a"),
        ("HTTPS://Example.org/%C3%BC", "ü"),
    ],
)
def test_a_url_names_its_file(text, name):
    assert file_name(text) == name
    assert parse(body(inputs=[url(text)])).inputs[0].url == text


@pytest.mark.parametrize(
    "text",
    [
        "ftp://example.org/a",
        "file:///etc/passwd",
        "//example.org/a",
        "example.org/a",
        "http:///a",
        "https://example.org",
        "https://example.org/",
        "https://example.org/a/",
        "https://example.org/..",
        "https://example.org/%2e%2e",
        "https://example.org/a%2Fb",
        "https://example.org/%00",
        "https://example.org/%FF",
        "https://example.org/" + "a" * 256,
        "https://user:word@example.org/a",
        "https://user@example.org/a",
        "https://example.org:port/a",
        "https://example.org:0/a",
        "https://example.org:99999/a",
        "https://[::1/a",
    ],
)
def test_a_url_that_is_none_or_names_no_file_is_refused(text):
    assert problem(inputs=[url(text)]).path == "$.inputs[0].url"


@pytest.mark.parametrize(("inner", "outer"), [("/a/b", "/a"), ("/a/b/c/d", "/a"), ("/a/b/c", "/a/b")])
def test_inputs_lie_apart(inner, outer):
    for paths in ((inner, outer), (outer, inner)):
        error = problem(inputs=[cid(path) for path in paths])
        assert error.path == f"$.inputs[{paths.index(inner)}].path"
        assert outer in error.problem


def test_names_that_begin_alike_are_no_nesting():
    assert len(parse(body(inputs=[cid("/a"), cid("/ab"), cid("/b/a")])).inputs) == 3


@pytest.mark.parametrize("path", ["/a/../b", "/a/", "//a"])
def test_folders_of_nodes_have_one_spelling(path):
    assert problem(inputs=[{"type": "local", "source": path, "path": "/x"}]).path == "$.inputs[0].source"
    assert problem(publisher={"type": "local", "folder": path}).path == "$.publisher.folder"


def test_sizes_and_hashes_of_inline_files_are_filled_in():
    spec = parse(body(inputs=[inline({"a.txt": content(b"hello"), "b/c": content(b"")})]))
    files = spec.inputs[0].files
    assert files["a.txt"].size == 5
    assert files["a.txt"].sha256 == hashlib.sha256(b"hello").hexdigest()
    assert files["b/c"].size == 0


@pytest.mark.parametrize(("more", "field"), [({"size": 4}, "size"), ({"sha256": "00" * 32}, "sha256")])
def test_a_content_that_is_not_what_it_is_called_is_refused(more, field):
    error = problem(inputs=[inline({"a.txt": content(b"hello", **more)})])
    assert error.path == f"$.inputs[0].files['a.txt'].{field}"


@pytest.mark.parametrize("file", [{}, {"size": 1}, {"sha256": "00" * 32}])
def test_an_inline_file_has_a_content_or_is_named_by_size_and_hash(file):
    assert problem(inputs=[inline({"a": file})]).path == "$.inputs[0].files['a']"


@pytest.mark.parametrize(
    "name", ["", "/a", "a/", "a//b", ".", "..", "a/../b", "a\nb", "a\0b", "x" * 256, "/".join("a" * 17)]
)
def test_an_inline_file_has_a_harmless_name(name):
    assert problem(inputs=[inline({name: content(b"")})]).path.startswith("$.inputs[0].files[")


def test_a_file_is_no_folder_of_another():
    error = problem(inputs=[inline({"a": content(b""), "a/b/c": content(b"")})])
    assert error.path == "$.inputs[0].files['a/b/c']"


def test_the_contents_are_no_part_of_what_names_a_spec():
    spec = parse(body(inputs=[inline({"a.txt": content(b"hello" * 1000)}), cid("/data")]))
    short = stripped(spec)
    assert short.inputs[0].files["a.txt"].content is None
    assert short.inputs[1] is spec.inputs[1]
    assert canonical(spec) == canonical(short)
    assert spec_hash(spec) == spec_hash(short)
    assert len(canonical(spec)) < 1000
    assert completed(short) == short
    assert parse(canonical(spec)) == short
    assert parse(document(spec)) == spec


def test_the_contents_are_found_by_their_hashes():
    spec = parse(body(inputs=[inline({"a": content(b"x"), "b": content(b"x"), "c": content(b"y")})]))
    assert set(contents(spec).values()) == {b"x", b"y"}
    assert all(hashlib.sha256(data).hexdigest() == name for name, data in contents(spec).items())
    assert contents(parse(body())) == {}


def test_contents_that_are_not_there_are_missed():
    with pytest.raises(InvalidSpec) as caught:
        contents(stripped(parse(body(inputs=[inline({"a": content(b"x")})]))))
    assert caught.value.path == "$.inputs[0].files['a']"


def test_other_contents_are_another_spec():
    one, other = (parse(body(inputs=[inline({"a": content(data)})])) for data in (b"x", b"y"))
    assert spec_hash(one) != spec_hash(other)


def test_as_much_inline_content_as_there_may_be():
    half = limits.INLINE_INPUT_BYTES // 2
    spec = parse(body(inputs=[inline({"a": content(b"a" * half)}), inline({"b": content(b"b" * half)}, "/more")]))
    assert all(isinstance(ref, InlineInput) for ref in spec.inputs)
    error = problem(inputs=[inline({"a": content(b"a" * half)}), inline({"b": content(b"b" * (half + 1))}, "/more")])
    assert error.path == "$.inputs"
    assert "a CID" in error.problem


def test_a_spec_without_its_contents_has_its_own_limit():
    args = ["x" * limits.ARG_BYTES_MAX] * (limits.SPEC_BYTES_MAX // limits.ARG_BYTES_MAX)
    text = json.loads(body())
    text["engine"]["args"] = args
    with pytest.raises(InvalidSpec, match="besides the contents"):
        parse(json.dumps(text).encode())


@pytest.mark.parametrize("pattern", ["[a", "{a", "a\\", "{a,b}" * 20])
def test_a_pattern_that_is_none_is_refused(pattern):
    error = problem(inputs=[cid("/inputs")], sharding={"glob_pattern": pattern})
    assert error.path == "$.sharding.glob_pattern"


def test_without_inputs_there_is_nothing_to_cut():
    assert problem(sharding={"glob_pattern": "*"}).path == "$.sharding"


@pytest.mark.parametrize(
    "change", [{"batch_size": 0}, {"batch_size": limits.ATOMS_MAX + 1}, {"glob_pattern": ""}, {"base": "/x"}]
)
def test_sharding_has_limits(change):
    error = problem(inputs=[cid("/inputs")], sharding={"glob_pattern": "*"} | change)
    assert error.path.startswith("$.sharding")


def test_a_plan_is_named_by_the_names_of_its_shards():
    plan = (("/a/1", "/a/2"), ("/a/3",))
    assert paths_sha256(plan[0]) == hashlib.sha256(b'["/a/1","/a/2"]').hexdigest()
    names = json.dumps([paths_sha256(paths) for paths in plan], separators=(",", ":")).encode()
    assert plan_sha256(plan) == hashlib.sha256(names).hexdigest()
    assert plan_sha256(plan) != plan_sha256((("/a/1",), ("/a/2", "/a/3")))
