"""Bitswap's messages: what is written is read back and is what protobuf says; any other bytes are malformed."""

from __future__ import annotations

from itertools import pairwise

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from hypothesis import given
from hypothesis import strategies as st

from node import limits
from node.errors import MalformedMessage
from node.storage.ipfs.bitswap import wire
from node.storage.ipfs.bitswap.wire import Block, Frames, Message, Presence, Want

CIDS = st.binary(min_size=1, max_size=limits.BITSWAP_CID_BYTES_MAX)
WANTS = st.builds(Want, CIDS, st.integers(-(2**31), 2**31 - 1), st.booleans(), st.booleans(), st.booleans())
BLOCKS = st.builds(Block, st.binary(max_size=40), st.binary(max_size=300))
MESSAGES = st.builds(
    Message,
    st.lists(WANTS, max_size=5).map(tuple),
    st.booleans(),
    st.lists(BLOCKS, max_size=4).map(tuple),
    st.lists(st.builds(Presence, CIDS, st.booleans()), max_size=5).map(tuple),
    st.integers(0, 2**31 - 1),
)


def body_of(stream: bytes) -> bytes:
    frames = Frames(limits.BITSWAP_MESSAGE_BYTES_MAX)
    frames.feed(stream)
    body = frames.next()
    assert body is not None
    assert frames.is_empty
    return body


@given(MESSAGES)
def test_what_is_written_is_read(message: Message):
    assert wire.decode(body_of(wire.encode(message))) == message


@given(MESSAGES)
def test_it_is_what_protobuf_reads_and_writes(message: Message):
    theirs = Schema()
    theirs.ParseFromString(body_of(wire.encode(message)))
    assert [
        (want.block, want.priority, want.cancel, want.wantType == 1, want.sendDontHave)
        for want in theirs.wantlist.entries
    ] == list(message.wants)
    assert theirs.wantlist.full == message.full
    assert [(block.prefix, block.data) for block in theirs.payload] == list(message.blocks)
    assert [(known.cid, known.type == 0) for known in theirs.blockPresences] == list(message.presences)
    assert theirs.pendingBytes == message.pending_bytes
    assert wire.decode(theirs.SerializeToString()) == message


@given(MESSAGES, st.sampled_from([wire.V110, wire.V100, wire.UNVERSIONED]))
def test_an_older_version_is_told_what_it_can_understand(message: Message, protocol: str):
    told = wire.decode(body_of(wire.encode(message, protocol)))
    assert told.wants == tuple(want for want in message.wants if not want.have_is_enough)
    assert not told.presences
    prefixes = [block.prefix if protocol == wire.V110 else b"" for block in message.blocks]
    assert told.blocks == tuple(map(Block, prefixes, [block.data for block in message.blocks]))


@given(st.lists(MESSAGES, max_size=4), st.lists(st.integers(0, 3000), max_size=20))
def test_a_stream_may_be_cut_anywhere(messages: list[Message], cuts: list[int]):
    stream = b"".join(map(wire.encode, messages))
    edges = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    frames = Frames(limits.BITSWAP_MESSAGE_BYTES_MAX)
    found = []
    for begin, end in pairwise(edges):
        frames.feed(stream[begin:end])
        while (body := frames.next()) is not None:
            found.append(wire.decode(body))
    assert found == messages


@given(st.binary(max_size=400))
def test_any_bytes_are_a_message_or_malformed(body: bytes):
    try:
        wire.decode(body)
    except MalformedMessage:
        return
    Schema().FromString(body)  # What we take, protobuf takes.


@given(MESSAGES, st.data())
def test_a_message_with_some_bytes_changed_is_a_message_or_malformed(message: Message, data: st.DataObject):
    body = bytearray(body_of(wire.encode(message)))
    for at in data.draw(st.lists(st.integers(0, max(0, len(body) - 1)), max_size=4)):
        body[at : at + 1] = data.draw(st.binary(max_size=3))
    try:
        wire.decode(bytes(body))
    except MalformedMessage:
        return


@given(st.binary(max_size=100))
def test_any_stream_is_bodies_or_malformed(stream: bytes):
    frames = Frames(64)
    frames.feed(stream)
    try:
        while (body := frames.next()) is not None:
            assert len(body) <= 64
    except MalformedMessage:
        return


def test_a_message_over_the_limit_is_refused_before_it_comes():
    frames = Frames(1000)
    frames.feed(b"\xe9\x07")
    with pytest.raises(MalformedMessage, match="1001 bytes"):
        frames.next()


def test_the_length_of_what_is_under_way_is_known():
    frames = Frames(1000)
    frames.feed(b"\xe8")
    assert frames.announced == 0
    frames.feed(b"\x07abc")
    assert frames.announced == 1000
    assert frames.next() is None


@pytest.mark.parametrize("head", [b"\xff\xff\xff\xff", b"\x80\x80\x80\x80\x01", b"\x80\x00"])
def test_a_length_that_is_none_is_malformed(head: bytes):
    frames = Frames(1000)
    frames.feed(head)
    with pytest.raises(MalformedMessage):
        frames.next()


def test_of_a_million_wants_only_so_many_are_read():
    entry = b"\x0a\x03\x0a\x01a"
    count = 700_000
    body = b"\x0a" + wire.varint.encode(len(entry) * count) + entry * count
    assert len(wire.decode(body).wants) == limits.BITSWAP_WANTS_READ


def test_many_wantlists_in_a_message_are_read_as_one():
    wantlist = b"\x0a\x05\x0a\x03\x0a\x01a"
    assert len(wire.decode(wantlist * 5_000).wants) == limits.BITSWAP_WANTS_READ


def test_a_million_empty_fields_are_not_counted_to_the_end():
    with pytest.raises(MalformedMessage, match="fields"):
        wire.decode(b"\x1a\x00" * 1_000_000)
    assert wire.decode(b"\x0a\x03\x98\x06\x00" * 100).wants == ()


@pytest.mark.parametrize("around", [(0x0A,), (0x1A,), (0x22,), (0x0A, 0x0A)], ids=["list", "block", "presence", "want"])
def test_a_part_of_a_message_has_few_fields(around: tuple[int, ...]):
    def inside(unknown: bytes) -> bytes:
        for key in around:
            unknown = bytes((key,)) + wire.varint.encode(len(unknown)) + unknown
        return unknown

    cid = b"\x0a\x01c"
    wire.decode(inside(cid + b"\x40\x00" * 15) if around != (0x0A,) else inside(b"\x40\x00" * 16))
    with pytest.raises(MalformedMessage, match="of"):
        wire.decode(inside(cid + b"\x40\x00" * 16) if around != (0x0A,) else inside(b"\x40\x00" * 17))


@given(MESSAGES)
def test_of_a_message_that_we_understand_nothing_is_idle(message: Message):
    few = [want._replace(cid=want.cid[:40]) for want in message.wants]
    told = [told._replace(cid=told.cid[:40]) for told in message.presences]
    body = body_of(wire.encode(Message(tuple(few), message.full, message.blocks, tuple(told), message.pending_bytes)))
    assert wire.idle_bytes(body, wire.decode(body)) == 0
    assert wire.idle_bytes(body + b"\x40\x00" * 1_000, wire.decode(body)) >= 2_000 - 64 * 15


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"\x0b", "key"),  # a group
        (b"\x02\x00", "key"),  # field 0
        (b"\x12\x05abc", "ends after"),
        (b"\x0a\x02\x0a\x00", "without a CID"),
        (b"\x22\x02\x10\x01", "without a CID"),
        (b"\x28" + b"\xff" * 10, "varint"),
        (b"\x0a\x04\x0a\x05\x0a\x01a", "ends after"),
        (b"\x0a\xaf\x01\x0a\xac\x01\x0a\xa9\x01" + b"c" * 169, "a CID of"),
    ],
)
def test_what_is_wrong_is_said(body: bytes, why: str):
    with pytest.raises(MalformedMessage, match=why):
        wire.decode(body)


def test_fields_that_we_do_not_know_are_passed_over():
    unknown = b"\x98\x06\x07" + b"\x92\x06\x02hi" + b"\x91\x06" + bytes(8) + b"\x95\x06" + bytes(4)
    message = Message((Want(b"cid"),), presences=(Presence(b"cid", has=True),))
    assert wire.decode(unknown + body_of(wire.encode(message)) + unknown) == message


def _schema() -> type:
    """The message of the specification, as the protobuf library has it."""
    kinds = {"bytes": 12, "int32": 5, "bool": 8, "enum": 5}
    file = descriptor_pb2.FileDescriptorProto(name="bitswap_test.proto", package="bitswap_test", syntax="proto3")

    def message(name: str, **fields: tuple[int, str, bool]) -> None:
        made = file.message_type.add(name=name)
        for field, (number, kind, repeated) in fields.items():
            added = made.field.add(name=field, number=number, label=3 if repeated else 1)
            if kind in kinds:
                added.type = kinds[kind]
            else:
                added.type, added.type_name = 11, f".bitswap_test.{kind}"

    message(
        "Entry",
        block=(1, "bytes", False),
        priority=(2, "int32", False),
        cancel=(3, "bool", False),
        wantType=(4, "enum", False),
        sendDontHave=(5, "bool", False),
    )
    message("Wantlist", entries=(1, "Entry", True), full=(2, "bool", False))
    message("Block", prefix=(1, "bytes", False), data=(2, "bytes", False))
    message("BlockPresence", cid=(1, "bytes", False), type=(2, "enum", False))
    message(
        "Message",
        wantlist=(1, "Wantlist", False),
        blocks=(2, "bytes", True),
        payload=(3, "Block", True),
        blockPresences=(4, "BlockPresence", True),
        pendingBytes=(5, "int32", False),
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("bitswap_test.Message"))


Schema = _schema()
