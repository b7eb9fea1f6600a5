"""What an answer says of a file, and whether that is what the requester saw."""

from __future__ import annotations

import pytest

from node.errors import StorageError
from node.model import UrlInput
from node.storage.seen import Seen, check_same, seen_in

ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
ABC64 = "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="


@pytest.mark.parametrize(
    "headers",
    [
        {"repr-digest": f"sha-256=:{ABC64}:"},
        {"repr-digest": f"md5=:AAAA:, sha-256=:{ABC64}:"},
        {"repr-digest": f"sha-256=:{ABC64}:;x=1,sha-512=:AAAA:"},
        {"content-digest": f"sha-256=:{ABC64}:"},
        {"digest": f"SHA-256={ABC64}"},
        {"digest": f"md5=AAAA,SHA-256={ABC64}"},
        {"repr-digest": "sha-256=:nonsense:", "digest": f"sha-256={ABC64}"},
    ],
)
def test_a_digest_is_read_as_servers_write_it(headers):
    assert seen_in(headers, 3).sha256 == ABC


@pytest.mark.parametrize(
    "value", ["", "sha-256", "sha-256=:AAAA:", f"xsha-256=:{ABC64}:", f"sha-256=:{ABC64[:-2]}:", "é"]
)
def test_what_is_no_digest_is_none(value):
    assert seen_in({"repr-digest": value}, 3).sha256 is None


@pytest.mark.parametrize(
    ("value", "etag"),
    [
        *(('"a"', '"a"'), ('W/"a"', '"a"'), ('""', '""'), ("a", None), ("", None), ('"a"b"', None), ('"a b"', None)),
        *(('"' + "a" * 501 + '"', None), ('"a\x01"', None)),
    ],
)
def test_an_etag_is_what_stands_between_quotes(value, etag):
    assert seen_in({"etag": value}, 3).etag == etag


def ref(**pin):
    return UrlInput(url="http://h/a", path="/inputs", **pin)


@pytest.mark.parametrize(
    ("pin", "seen"),
    [
        ({"size": 3, "etag": '"a"'}, Seen(3, '"a"', None)),
        ({"size": 3, "etag": '"a"'}, Seen(None, '"a"', ABC)),
        ({"size": 3, "etag": '"a"', "sha256": ABC}, Seen(3, '"b"', ABC)),
        ({"size": 3, "sha256": ABC}, Seen(3, '"b"', None)),
        ({"size": 3, "etag": '"a"', "sha256": ABC}, Seen(3, None, None)),
        ({}, Seen(3, '"b"', ABC)),
    ],
)
def test_what_is_the_same_passes(pin, seen):
    check_same(ref(**pin), seen)


@pytest.mark.parametrize(
    ("pin", "seen", "says"),
    [
        ({"size": 3, "etag": '"a"'}, Seen(4, '"a"', None), "size was 3, is 4"),
        ({"size": 3, "etag": '"a"'}, Seen(3, '"b"', None), 'ETag was "a", is "b"'),
        ({"size": 3, "etag": '"a"'}, Seen(3, None, None), "no ETag any more"),
        ({"size": 3, "sha256": ABC}, Seen(3, None, "0" * 64), "sha256 was ba78"),
        ({"sha256": ABC}, Seen(0, None, "0" * 64), "sha256 was ba78"),
    ],
)
def test_what_changed_is_said_with_what_it_was(pin, seen, says):
    with pytest.raises(StorageError, match="the source changed since the job was submitted") as caught:
        check_same(ref(**pin), seen)
    assert says in str(caught.value)
