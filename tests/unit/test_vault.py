"""The vault's folders: whole or not there, and never a way out of them."""

from __future__ import annotations

import errno
import hashlib
import os
import re

import pytest

from node.errors import InvalidModule, NoRoom, NotFound, OperatorError, TooLarge
from node.journal.records import JobRecord, ResultsRecord
from node.model import JobSpec, WasmEngine
from node.vault.modules import Modules, check_head
from node.vault.results import Results

WASM = b"\0asm\x01\0\0\0"


def record(job="a" * 32):
    return JobRecord(
        job=job,
        client="c" * 64,
        spec=JobSpec(name="census", engine=WasmEngine(module="0" * 64)),
        spec_sha256="5" * 64,
        submitted_at=1_700_000_000.5,
        deadline=1_700_000_900.0,
        results=ResultsRecord(hash="h1:", files=1, bytes=1, folder="f"),
    )


def kept(vault, files, job="a" * 32):
    intake = vault.intake(record(job))
    for name, content in files.items():
        intake.put(name, content)
    return intake.finish()


@pytest.fixture
def synced(monkeypatch):
    paths = []
    monkeypatch.setattr(os, "fsync", lambda handle: paths.append(os.readlink(f"/proc/self/fd/{handle}")))
    return paths


def test_results_are_filed_by_client_name_time_and_job(tmp_path):
    folder = kept(Results(tmp_path), {"stdout": b"hi", "outputs/a/b.csv": b"1"})
    assert folder.relative_to(tmp_path).parts == ("c" * 64, "census", "2023-11-14T22-13-20.500000Z", "a" * 32)
    assert (folder / "outputs/a/b.csv").read_bytes() == b"1"


def test_results_are_not_there_before_they_are_whole(tmp_path):
    vault = Results(tmp_path)
    intake = vault.intake(record())
    intake.put("stdout", b"hi")
    with pytest.raises(NotFound):
        vault.folder(record())
    intake.finish()
    with vault.open(record(), "stdout") as file:
        assert file.read() == b"hi"


def test_what_a_crash_left_half_written_is_swept(tmp_path):
    vault = Results(tmp_path)
    vault.intake(record()).put("stdout", b"half")
    Results(tmp_path).sweep()
    assert not [name for _, _, files in os.walk(tmp_path) for name in files]


def test_a_file_goes_on_at_its_offset_and_what_lay_behind_is_cut(tmp_path):
    vault = Results(tmp_path)
    intake = vault.intake(record())
    intake.put("stdout", b"abcdef")
    with intake.file("stdout", 3) as file:
        intake.append(file, b"XY")
    intake.finish()
    with vault.open(record(), "stdout") as file:
        assert file.read() == b"abcXY"


@pytest.mark.parametrize(
    "name",
    ["../secret", "/etc/passwd", "outputs/../../secret", "link", "links/x", "pipe", "outputs", "", ".", "a\0b", "no"],
)
def test_no_name_leads_out_of_the_results(tmp_path, name):
    vault = Results(tmp_path / "r")
    (tmp_path / "secret").write_text("s")
    folder = kept(vault, {"outputs/a": b"1"})
    (folder / "link").symlink_to(tmp_path / "secret")
    (folder / "links").symlink_to(tmp_path)
    os.mkfifo(folder / "pipe")
    with pytest.raises(NotFound):
        vault.open(record(), name)


def test_deleting_takes_one_job_and_the_folders_it_leaves_empty(tmp_path):
    vault = Results(tmp_path)
    kept(vault, {"stdout": b"1"})
    kept(vault, {"stdout": b"2"}, "b" * 32)
    vault.delete(record())
    with vault.open(record("b" * 32), "stdout") as file:
        assert file.read() == b"2"
    vault.delete(record("b" * 32))
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_said_so(tmp_path):
    intake = Results(tmp_path).intake(record())
    with open("/dev/full", "wb", buffering=0) as full, pytest.raises(NoRoom, match=os.strerror(errno.ENOSPC)):
        intake.append(full, b"x")


def test_a_module_is_kept_under_its_hash_once_finished(tmp_path):
    modules = Modules(tmp_path / "m")
    upload = modules.upload()
    for piece in (WASM[:3], WASM[3:], b"rest"):
        upload.write(piece)
    assert modules.path(hashlib.sha256(WASM + b"rest").hexdigest()) is None
    sha256 = upload.finish()
    assert modules.path(sha256).read_bytes() == WASM + b"rest"
    assert modules.size(sha256) == 12


def test_an_abandoned_upload_leaves_nothing(tmp_path):
    upload = Modules(tmp_path / "m").upload()
    upload.write(WASM)
    upload.abandon()
    assert list((tmp_path / "m").iterdir()) == []


def test_an_upload_that_a_crash_cut_off_is_swept(tmp_path):
    upload = Modules(tmp_path / "m").upload()
    upload.write(WASM)
    Modules(tmp_path / "m")
    assert list((tmp_path / "m").iterdir()) == []
    upload.abandon()


@pytest.mark.parametrize(
    ("head", "says"),
    [(b"", "empty"), (b"(module)", "wat2wasm"), (b"print('hi')", "wasm32-wasi"), (b"\0asm\x0d\0\x01\0", "component")],
)
def test_what_is_no_module_is_refused_with_what_to_do(head, says):
    with pytest.raises(InvalidModule, match=says):
        check_head(head[:8], whole=True)


def test_a_text_is_refused_at_its_first_bytes(tmp_path):
    upload = Modules(tmp_path / "m").upload()
    with pytest.raises(InvalidModule):
        upload.write(b"#!/bin/sh")
    upload.abandon()


def test_an_upload_over_the_limit_is_refused(tmp_path):
    upload = Modules(tmp_path / "m").upload()
    upload.write(WASM)
    with pytest.raises(TooLarge):
        upload.write(bytes(64 * 1024 * 1024))
    upload.abandon()


def test_the_module_used_longest_ago_goes_first(tmp_path):
    modules = Modules(tmp_path / "m", cache_bytes=30)
    names = []
    for i in range(3):
        upload = modules.upload()
        upload.write(WASM + bytes([i]) * 6)
        names.append(upload.finish())
        os.utime(tmp_path / "m" / f"{names[-1]}.wasm", (i, i))
    modules.trim(frozenset({names[0]}))
    assert [modules.size(name) for name in names] == [14, None, 14]


def test_parts_that_are_settled_are_synced_once_and_dropped_ones_are_gone(tmp_path, synced):
    intake = Results(tmp_path).intake(record())
    for number in range(3):
        intake.put(f"per_shard/{number}/outputs/a", b"x")
    synced.clear()
    intake.settle("per_shard/0/")
    assert sorted(map(os.path.basename, synced)) == ["0", "a", "outputs"]
    intake.drop("per_shard/1/")
    synced.clear()
    final = intake.finish()
    assert sorted(path.name for path in (final / "per_shard").iterdir()) == ["0", "2"]
    assert sum(path.endswith("/outputs/a") for path in synced) == 1
    assert any(path.endswith("/per_shard") for path in synced)


def test_a_part_that_came_again_after_it_was_dropped_is_synced_again(tmp_path, synced):
    intake = Results(tmp_path).intake(record())
    intake.put("per_shard/0/stdout", b"x")
    intake.settle("per_shard/0/")
    intake.drop("per_shard/0/")
    intake.put("per_shard/0/stdout", b"y")
    synced.clear()
    intake.finish()
    assert sum(path.endswith("/stdout") for path in synced) == 1


def test_folders_are_synced_before_a_job_has_its_name_and_those_that_jobs_share_once(tmp_path, synced):
    vault = Results(tmp_path)
    client, name = tmp_path / ("c" * 64), tmp_path / ("c" * 64) / "census"
    time = name / "2023-11-14T22-13-20.500000Z"
    first = vault.intake(record())
    assert synced == [str(tmp_path), str(client)]
    second = vault.intake(record("b" * 32))
    assert len(synced) == 2
    for intake, job in ((first, "a"), (second, "b")):
        synced.clear()
        intake.finish()
        assert synced == [str(time / f".partial-{job * 32}"), str(time), str(name)]


def test_what_jobs_share_and_a_killed_node_did_not_sync_is_synced_at_the_start(tmp_path, synced):
    client = tmp_path / ("c" * 64)
    (client / "census").mkdir(parents=True)
    Results(tmp_path).sweep()
    assert synced == [str(tmp_path), str(client)]


def test_a_disk_that_fails_at_the_start_is_the_operators(tmp_path, monkeypatch):
    def failed(_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", failed)
    with pytest.raises(OperatorError, match=re.escape(f"{tmp_path} cannot be used: {os.strerror(errno.EIO)}")):
        Results(tmp_path).sweep()
