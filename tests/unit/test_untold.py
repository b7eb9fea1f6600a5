"""Notes of publications that nobody was told of: there before, gone after, and read whatever lies among them."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from doubles.peers import peer

from node import limits
from node.errors import NoRoom, OperatorError
from node.model import IpfsPublisher, LocalPublisher, ObjectPublisher
from node.publisher.base import below
from node.publisher.untold import Publication, Untold


def publication(number: int = 1, requester: int = 1, where=LocalPublisher(folder="/srv/share")) -> Publication:  # noqa: B008
    return Publication(where, peer(requester), "a" * 32, 7, f"{number:032x}")


def opened(folder: Path) -> Untold:
    untold = Untold(folder / "untold")
    assert untold.left_over() == ()
    return untold


def left_over(folder: Path) -> set[Publication]:
    return set(Untold(folder / "untold").left_over())


def test_what_was_noted_is_found_by_the_next_start_until_it_is_forgotten(tmp_path: Path):
    untold = opened(tmp_path)
    noted = [
        publication(1),
        publication(1, requester=2),
        publication(2, where=ObjectPublisher(url="s3://bucket/größe")),
        publication(3, where=IpfsPublisher()),
    ]
    for each in (*noted, noted[0]):
        untold.note(each)
    assert left_over(tmp_path) == set(noted)
    untold.forget(noted[0])
    untold.forget(noted[0])
    assert left_over(tmp_path) == set(noted[1:])


def test_it_lies_where_the_publication_does():
    expected = below(peer(1), "a" * 32, 7, f"{1:032x}")
    assert publication().below == expected


def test_nobody_else_reads_what_jobs_publish_where(tmp_path: Path):
    opened(tmp_path)
    assert stat.S_IMODE((tmp_path / "untold").stat().st_mode) == 0o700


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff",
        b"[]",
        b"null",
        b'{"where":{"type":"local","folder":"/srv"},"requester":"../../..","job":"../..","shard":0,"execution":".."}',
        b'{"where":{"type":"ftp"}}',
        b"[" * 100_000,
    ],
)
def test_what_is_no_note_is_removed_and_nothing_is_taken_back_for_it(tmp_path: Path, content: bytes):
    opened(tmp_path).note(publication())
    (tmp_path / "untold" / "broken.json").write_bytes(content)
    assert left_over(tmp_path) == {publication()}
    assert [path.name for path in (tmp_path / "untold").iterdir()] == [publication().file]


def test_a_note_under_the_name_of_another_is_none(tmp_path: Path):
    opened(tmp_path).note(publication())
    folder = tmp_path / "untold"
    (folder / publication().file).rename(folder / publication(2).file)
    assert left_over(tmp_path) == set()
    assert not any(folder.iterdir())


def test_a_note_that_does_not_fit_is_no_room_and_leaves_no_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    untold = opened(tmp_path)

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(NoRoom, match="No space"):
            untold.note(publication())
        assert not any((tmp_path / "untold").iterdir())
        with pytest.raises(NoRoom, match="deleted"):
            untold.forget(publication())


def test_of_too_many_the_oldest_are_left_where_they_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(limits, "UNTOLD_MAX", 3)
    untold = opened(tmp_path)
    for number in range(5):
        untold.note(publication(number))
        os.utime(tmp_path / "untold" / publication(number).file, (number, number))
    assert left_over(tmp_path) == {publication(number) for number in (2, 3, 4)}
    untold.forget_oldest()
    assert len(left_over(tmp_path)) == 3


def test_a_folder_that_cannot_be_used_is_the_operators_to_see(tmp_path: Path):
    (tmp_path / "untold").write_text("in the way")
    with pytest.raises(OperatorError, match="untold"):
        Untold(tmp_path / "untold").left_over()
