"""What comes from a worker is checked as what comes from a peer."""

from __future__ import annotations

import contextlib
import socket

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.executor.wasm.protocol import (
    ANSWER_BYTES_MAX,
    Answer,
    Broken,
    Compiled,
    Exited,
    Failed,
    Hello,
    Input,
    Job,
    Returned,
    Spawn,
    Spawned,
    Unloadable,
    WorkerSpec,
    answer_in,
    frame,
    from_zygote,
    packet,
    receive_job,
    spawn_of,
)
from node.executor.wasm.settings import Settings

ANSWERS: list[Answer] = [Returned(7), Failed("trap", "why"), Broken("disk full"), Unloadable(), Compiled()]
JOB = Job(
    args=("a", ""),
    env=(("K", "V"),),
    inputs=(Input(b"/host\xff", "/inputs"), Input(b"/host/x", "/inputs/a/x", "/inputs/a")),
    outputs=(("outputs", "/outputs"),),
    results=b"/r",
    stdin="/inputs/a/x",
    fuel=7,
    seed="s",
    cpu_s=1.5,
    output_bytes=1 << 40,
    output_files=3,
)


@pytest.mark.parametrize("answer", ANSWERS)
def test_an_answer_arrives_whole_or_not_yet(answer: Answer) -> None:
    data = frame(answer)
    assert answer_in(data) == answer
    for end in range(len(data)):
        assert answer_in(data[:end]) is None


def test_an_answer_with_something_behind_it_is_none() -> None:
    with pytest.raises(msgspec.DecodeError):
        answer_in(frame(Returned(0)) + b"\0")


def test_an_answer_that_is_too_long_is_none_before_it_has_arrived() -> None:
    with pytest.raises(msgspec.DecodeError):
        answer_in((ANSWER_BYTES_MAX + 1).to_bytes(4, "big"))


@pytest.mark.parametrize(
    "body",
    [
        ["returned"],
        ["returned", "0"],
        ["returned", -1],
        ["returned", 256],
        ["failed", "time", "x"],
        ["job"],
        ["returned", 0, 0],
        7,
    ],
)
def test_what_is_no_answer_is_refused(body: object) -> None:
    data = msgspec.msgpack.encode(body)
    with pytest.raises(msgspec.DecodeError):
        answer_in(len(data).to_bytes(4, "big") + data)


@given(st.binary(max_size=64))
def test_the_decoder_raises_one_error_and_never_another(data: bytes) -> None:
    with contextlib.suppress(msgspec.DecodeError):
        answer_in(data)


def test_a_job_arrives_however_it_is_cut() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for byte in frame(JOB):
            ours.send(bytes([byte]))
        assert receive_job(theirs) == JOB


@pytest.mark.parametrize("sent", [b"", b"\0\0", b"\0\0\0\x09abc"])
def test_a_node_that_goes_away_sends_no_job(sent: bytes) -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        with ours:
            ours.sendall(sent)
        assert receive_job(theirs) is None


def test_packets_of_the_control_socket_come_back_as_they_were() -> None:
    settings = Settings("x86_64", deterministic=True, counts_fuel=True)
    spec = WorkerSpec((b"/x", b"/gate", b"/view"), settings, 5, (b"/in\xff",), b"/staging")
    for each in (spec, msgspec.structs.replace(spec, has_view=True)):
        assert spawn_of(packet(Spawn(3, each))) == Spawn(3, each)
    for message in (
        Hello(None),
        Hello("no wasmtime"),
        Hello(None, "no mounts", ("landlock",)),
        Spawned(1),
        Spawned(1, "no memory"),
        Exited(4, -9),
    ):
        assert from_zygote(packet(message)) == message
