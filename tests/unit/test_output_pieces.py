"""What is read of a run's output while it runs: from where it was asked for, bounded, and of files alone."""

from __future__ import annotations

import os

import pytest

from node import limits
from node.compute.logs import piece_of
from node.errors import MalformedMessage
from node.messages import LogPiece, LogsWanted, decode_log, decode_request, encode


def piece(folder, stdout=0, stderr=0):
    return piece_of(folder, LogsWanted("e" * 32, stdout, stderr))


def test_each_stream_is_read_from_its_offset(tmp_path):
    (tmp_path / "stdout").write_bytes(b"0123")
    (tmp_path / "stderr").write_bytes(b"ab")
    assert piece(tmp_path, 2, 1) == LogPiece(b"23", b"b")
    assert piece(tmp_path, 4, 2**62) == LogPiece(b"", b"")


def test_before_there_is_a_file_there_is_nothing(tmp_path):
    assert piece(tmp_path / "not/yet") == LogPiece(b"", b"")


def test_a_piece_has_an_end_and_says_that_there_is_more(tmp_path):
    (tmp_path / "stdout").write_bytes(bytes(limits.LOG_PIECE_BYTES + 1))
    found = piece(tmp_path)
    assert (found.size, found.has_more) == (limits.LOG_PIECE_BYTES, True)
    rest = piece(tmp_path, limits.LOG_PIECE_BYTES)
    assert (rest.size, rest.has_more) == (1, False)
    assert len(encode(LogPiece(found.stdout, found.stdout))) <= limits.LOG_ANSWER_BYTES


def test_what_is_no_file_is_not_read_and_nobody_waits_for_it(tmp_path):
    os.mkfifo(tmp_path / "stdout")
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "stderr").symlink_to(tmp_path / "secret")
    assert piece(tmp_path) == LogPiece(b"", b"")
    (tmp_path / "stdout").unlink()
    (tmp_path / "stdout").mkdir()
    assert piece(tmp_path) == LogPiece(b"", b"")


def test_pieces_and_requests_travel():
    assert decode_log(encode(LogPiece(b"\xff", b""))) == LogPiece(b"\xff", b"")
    assert decode_request(encode(LogsWanted("e" * 32, 1, 2))) == LogsWanted("e" * 32, 1, 2)
    for wrong in (b"", b"\x80", encode(LogsWanted("e" * 32, 1, 2)), encode(LogPiece(b"", b"")) + b"x"):
        with pytest.raises(MalformedMessage):
            decode_log(wrong)
