"""JSON and base64 made in pieces are what they would be made at once."""

from __future__ import annotations

import base64 as whole
import random

import msgspec
import pytest

from node.json_lists import base64, filled, from_base64

ENCODER = msgspec.json.Encoder(order="sorted")
MANY = 10_000


@pytest.mark.parametrize("count", [0, 1, MANY])
def test_a_list_that_is_filled_in_is_spelled_as_one_that_was_there(count):
    items = [{"name": f"ü{number}", "also": [number]} for number in range(count)]
    assert filled(ENCODER.encode({"a": [], "z": []}), items, ENCODER) == ENCODER.encode({"a": [], "z": items})


@pytest.mark.parametrize("size", [0, 1, 2, 3, 3 << 20, (3 << 20) + 1, 10_000_001])
def test_base64_is_the_standards_and_can_be_read(size):
    content = random.Random(size).randbytes(size)
    assert base64(content) == whole.b64encode(content)
    assert from_base64(base64(content)) == content


@pytest.mark.parametrize("text", [b"?", b"QQ", b"QQ==QQ==", b"QUJ\n", b"A" * (3 << 20) + b"?"])
def test_what_is_no_base64_is_refused(text):
    with pytest.raises(ValueError, match=r".+"):
        from_base64(text)
