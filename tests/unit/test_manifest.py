"""The manifest: what is hashed, and which names of a peer are refused before anything is written."""

from __future__ import annotations

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node import limits
from node.errors import BadResult
from node.model import Sha256
from node.verifier.manifest import (
    Line,
    Manifest,
    check_sizes,
    manifest_of,
    name_problem,
    parse,
    parse_sized,
    render_sized,
)

ZERO, ONE = Sha256("0" * 64), Sha256("1" * 64)

PARTS = st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="/"), min_size=1, max_size=20).filter(
    lambda part: part not in (".", "..")
)
NAMES = st.lists(PARTS, min_size=1, max_size=4).map(lambda parts: "/".join(("results", *parts)))


def harmless(names: list[str]) -> bool:
    return not any(other.startswith(name + "/") for name in names for other in names)


TREES = st.lists(NAMES, max_size=12, unique=True).filter(harmless)
MANIFESTS = TREES.map(lambda names: manifest_of(Line(Sha256(sha(name)), name) for name in names))


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def line(name: str, sha256: str = ZERO) -> bytes:
    return f"{sha256}  {name}\n".encode()


def test_the_hash_is_of_the_text() -> None:
    manifest = manifest_of([Line(Sha256(sha("0")), "results/exitCode")])
    assert manifest.render() == f"{sha('0')}  results/exitCode\n".encode()
    assert manifest.h1() == "h1:" + base64.b64encode(hashlib.sha256(manifest.render()).digest()).decode()


def test_nothing_has_the_hash_of_no_text() -> None:
    assert manifest_of([]).h1() == "h1:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
    assert parse(b"") == Manifest(())


def test_a_long_list_is_the_same_text_as_a_short_one() -> None:
    """Which is sorted, rendered and parsed in pieces; some of its characters have several bytes."""
    lines = [Line(Sha256(sha(str(number))), f"results/{number % 7}/{'ü' * 120}/{number}") for number in range(9_999)]
    ordered = sorted(lines, key=lambda line: line.name)
    text = "".join(f"{line.sha256}  {line.name}\n" for line in ordered).encode()
    manifest = manifest_of(lines)
    assert manifest == parse(text) == Manifest(tuple(ordered))
    assert manifest.render() == text
    assert manifest.h1() == "h1:" + base64.b64encode(hashlib.sha256(text).digest()).decode()
    sizes = tuple(range(len(lines)))
    assert parse_sized(render_sized(manifest, sizes)) == (manifest, sizes)
    for broken in (text[:-1], text + b"0", text.replace("ü".encode(), b"\xc3x", 1), text + text):
        with pytest.raises(BadResult):
            parse(broken)


def test_names_sort_by_their_bytes() -> None:
    names = ["results/Z", "results/a", "results/a!", "results/a/b", "results/é", "results/\uffff", "results/😀"]
    del names[1]  # A file cannot be where a folder is.
    manifest = manifest_of(Line(ZERO, name) for name in reversed(names))
    assert [line.name for line in manifest.lines] == sorted(names, key=str.encode) == names


@given(MANIFESTS)
def test_what_is_rendered_parses_to_the_same(manifest: Manifest) -> None:
    assert parse(manifest.render()) == manifest
    assert parse(manifest.render()).render() == manifest.render()


@given(MANIFESTS, st.data())
def test_what_is_rendered_with_sizes_parses_to_the_same(manifest: Manifest, data: st.DataObject) -> None:
    sizes = tuple(data.draw(st.integers(0, 2**62)) for _ in manifest.lines)
    assert parse_sized(render_sized(manifest, sizes)) == (manifest, sizes)


@given(st.one_of(st.binary(max_size=300), MANIFESTS.map(Manifest.render)), st.data())
def test_a_text_is_refused_or_is_the_only_one_for_its_manifest(body: bytes, data: st.DataObject) -> None:
    """Any bytes, and genuine texts with one byte changed: BadResult and nothing else, or exactly these bytes again."""
    if body and data.draw(st.booleans()):
        at = data.draw(st.integers(0, len(body) - 1))
        body = body[:at] + bytes([data.draw(st.integers(0, 255))]) + body[at + 1 :]
    try:
        manifest = parse(body)
    except BadResult:
        return
    assert manifest.render() == body
    assert all(name_problem(line.name) is None for line in manifest.lines)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("/etc/passwd", "outside"),
        ("etc/passwd", "outside"),
        ("results", "outside"),
        ("", "outside"),
        ("resultsx/a", "outside"),
        ("../results/a", "outside"),
        ("results/../a", "shortest form"),
        ("results/a/..", "shortest form"),
        ("results/./a", "shortest form"),
        ("results//a", "shortest form"),
        ("results/a/", "shortest form"),
        ("results/", "shortest form"),
        ("results/a\0b", "control character"),
        ("results/a\rb", "control character"),
        ("results/a\x1b[2Jb", "control character"),
        ("results/a\x7f", "control character"),
        ("results/a\x9b2J", "control character"),
        ("results/" + "a" * 256, "part of a name longer"),
        ("results/" + "é" * 128, "part of a name longer"),
        ("results/" + "/".join(["a" * 200] * 6), "longer than 1024"),
        ("results/" + "/".join("a" * 64), "deep"),
    ],
)
def test_a_hostile_name_is_refused(name: str, why: str) -> None:
    with pytest.raises(BadResult, match=why):
        parse(line(name))
    with pytest.raises(BadResult, match=why):
        parse_sized(b"1 " + line(name))


@pytest.mark.parametrize(
    "name",
    [
        "results/...",
        "results/a b",
        "results/back\\slash",
        "results/-rf",
        "results/" + "a" * 255,
        "results/" + "/".join(["a" * 199] * 5) + "/" + "b" * 16,
        "results/" + "/".join("a" * 63),
    ],
)
def test_a_strange_but_harmless_name_is_taken(name: str) -> None:
    assert parse(line(name)).lines == (Line(ZERO, name),)


def test_a_name_of_1024_bytes_is_the_longest() -> None:
    longest = "results/" + "/".join(["a" * 202] * 5) + "b" * 2
    assert len(longest) == limits.RESULT_NAME_BYTES_MAX
    assert name_problem(longest) is None
    assert name_problem(longest + "b") is not None


def test_a_name_that_is_not_valid_unicode_is_refused() -> None:
    assert name_problem("results/\udcff") == "a name that is not valid UTF-8"
    with pytest.raises(BadResult, match="not valid UTF-8"):
        parse(line("results/a").replace(b"a", b"\xff"))


@pytest.mark.parametrize(
    "body",
    [
        line("results/b") + line("results/a"),
        line("results/a") + line("results/a"),
        line("results/a") + line("results/a", ONE),
    ],
)
def test_lines_out_of_order_or_twice_are_refused(body: bytes) -> None:
    with pytest.raises(BadResult, match="out of order"):
        parse(body)
    with pytest.raises(BadResult, match="out of order"):
        parse_sized(b"".join(b"0 " + row for row in body.splitlines(keepends=True)))


@pytest.mark.parametrize("between", ["", "results/a!"])
def test_a_file_where_a_folder_is_is_refused(between: str) -> None:
    names = ["results/a", *filter(None, [between]), "results/a/b"]
    with pytest.raises(BadResult, match="both a file and a folder: 'results/a'"):
        parse(b"".join(map(line, names)))


def test_a_name_that_begins_like_another_is_no_folder_of_it() -> None:
    assert len(parse(line("results/a") + line("results/ab") + line("results/b/c")).lines) == 3


@pytest.mark.parametrize(
    "body",
    [
        b"\n",
        line("results/a")[:-1],
        line("results/a") + b"\n",
        line("results/a") + line("results/b")[:-1],
        line("results/a").replace(b"  ", b" "),
        line("results/a").replace(b"  ", b"\t "),
        line("results/a").replace(b"  ", b" *"),
        line("results/a").replace(b"  ", b"   "),
        line("results/a", "A" * 64),
        line("results/a", "0" * 63),
        line("results/a", "0" * 65),
        line("results/a", "\u0660" * 64),
        line("results/a").replace(b"\n", b"\r\n"),
        b" " + line("results/a"),
    ],
)
def test_a_text_in_any_other_shape_is_refused(body: bytes) -> None:
    with pytest.raises(BadResult):
        parse(body)


@pytest.mark.parametrize("size", ["", "-1", "+1", "01", "1.0", "\u0663", "1\u0663", "1" * 20, " 1", "0x1"])
def test_a_size_in_any_other_shape_is_refused(size: str) -> None:
    with pytest.raises(BadResult):
        parse_sized(f"{size} ".encode() + line("results/a"))


def test_too_many_files_are_refused() -> None:
    most = b"".join(line(f"results/{index:06}") for index in range(limits.RESULT_FILES_MAX))
    assert len(parse(most).lines) == limits.RESULT_FILES_MAX
    with pytest.raises(BadResult, match="more than 100000 files"):
        parse(most + line("results/a"))


def test_too_many_folders_are_refused() -> None:
    deep = "d/" * 60
    body = b"".join(line(f"results/{index:05}/{deep}f") for index in range(limits.RESULT_FILES_MAX // 61 + 1))
    with pytest.raises(BadResult, match="more than 100000 folders"):
        parse(body)


def test_folders_are_counted_once() -> None:
    deep = "d/" * 60
    body = b"".join(line(f"results/{deep}{index:05}") for index in range(limits.RESULT_FILES_MAX // 61 + 1))
    assert parse(body).render() == body


def test_a_text_that_is_too_long_is_refused() -> None:
    with pytest.raises(BadResult, match="the limit is"):
        parse(b"0" * (limits.MANIFEST_BYTES_MAX + 1))


def test_declared_sizes_are_added_up() -> None:
    manifest = parse(line("results/a") + line("results/b"))
    assert check_sizes(manifest, (3, 4), bytes_max=7) == 7
    with pytest.raises(BadResult, match="7 bytes where at most 6"):
        check_sizes(manifest, (3, 4), bytes_max=6)


@pytest.mark.parametrize("sizes", [(), (1,), (1, 1, 1), (-1, 2), (0, 2**62 + 1)])
def test_sizes_that_cannot_be_are_refused(sizes: tuple[int, ...]) -> None:
    manifest = parse(line("results/a") + line("results/b"))
    with pytest.raises(BadResult):
        check_sizes(manifest, sizes, bytes_max=2**63)


def test_a_refusal_quotes_little_of_what_a_peer_said() -> None:
    with pytest.raises(BadResult) as refused:
        parse(line("\x1b[31m" + "x" * 5000))
    assert len(str(refused.value)) < 200
    assert str(refused.value).isprintable()
