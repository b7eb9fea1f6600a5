"""Lists of result files: from receipts and the disk, remembered within a limit; and what clients hold at a time."""

from __future__ import annotations

import base64
import hashlib
import json

import msgspec
import pytest

from node import limits
from node.api.listings import Listing, Listings, listing_of
from node.api.quotas import Quota
from node.api.views import FileView, ManifestView
from node.errors import StorageError, TooMany
from node.model import ClientId, JobId

ALICE, BOB, CAROL = ClientId("a"), ClientId("b"), ClientId("c")


def receipt(subjects):
    payload = json.dumps({"_type": "x", "subject": subjects, "predicate": {"much": "more"}}).encode()
    return json.dumps({"payload": base64.b64encode(payload).decode(), "signatures": []}).encode()


def subject(name, content):
    return {"name": name, "digest": {"sha256": hashlib.sha256(content).hexdigest()}}


def test_names_and_hashes_are_the_receipts_and_sizes_the_disks(tmp_path):
    (tmp_path / "outputs").mkdir()
    (tmp_path / "outputs" / "a b").write_bytes(b"rotten")
    listing = listing_of(receipt([subject("outputs/a b", b"as it was")]), tmp_path, "h1:x")
    digest = hashlib.sha256(b"as it was").hexdigest()
    assert listing.view == ManifestView(hash="h1:x", files=(FileView(name="outputs/a b", size=6, sha256=digest),))
    assert listing.by_name["outputs/a b"].sha256 == digest


def test_a_list_is_answered_as_the_view_of_it(tmp_path):
    files = [(f"{number:04}", b"%d" % number) for number in range(5000)]
    for name, content in files:
        (tmp_path / name).write_bytes(content)
    listing = listing_of(receipt([subject(*file) for file in files]), tmp_path, "h1:x")
    assert len(listing.view.files) == 5000
    assert listing.rendered() == msgspec.json.encode(listing.view)


def test_a_file_that_is_missing_is_the_nodes_fault(tmp_path):
    with pytest.raises(StorageError, match="missing"):
        listing_of(receipt([subject("stdout", b"")]), tmp_path, "h1:x")


@pytest.mark.parametrize("raw", [b"", b"[]", b"{}", b'{"payload": "?"}', receipt([{"name": "x"}]), b"[" * 9999])
def test_a_receipt_that_cannot_be_read_is_the_nodes_fault(raw, tmp_path):
    with pytest.raises(StorageError, match="receipt"):
        listing_of(raw, tmp_path, "h1:x")


def listing(files):
    by_name = {str(i): FileView(name=str(i), size=0, sha256="") for i in range(files)}
    return Listing(ManifestView(hash="", files=()), by_name)


def test_the_lists_asked_for_last_are_remembered():
    kept = Listings()
    third = limits.LISTINGS_CACHED_FILES // 3
    for name in "abc":
        kept.put(JobId(name), listing(third))
    assert kept.get(JobId("a")) is not None
    kept.put(JobId("d"), listing(third))
    assert [name for name in "abcd" if kept.get(JobId(name))] == ["a", "c", "d"]


def test_the_newest_list_is_remembered_however_long():
    kept = Listings()
    kept.put(JobId("a"), listing(1))
    kept.put(JobId("b"), listing(limits.LISTINGS_CACHED_FILES + 1))
    assert kept.get(JobId("a")) is None
    assert kept.get(JobId("b")) is not None


def test_a_list_put_twice_or_forgotten_is_counted_once():
    kept = Listings()
    for _ in range(5):
        kept.put(JobId("a"), listing(limits.LISTINGS_CACHED_FILES))
    kept.forget(JobId("a"))
    kept.forget(JobId("a"))
    kept.put(JobId("b"), listing(limits.LISTINGS_CACHED_FILES - 1))
    kept.put(JobId("c"), listing(1))
    assert kept.get(JobId("b")) is not None


def test_each_client_has_its_own_quota_and_all_have_one_together():
    quota = Quota("uploads", per_client=2, overall=3)
    with quota.one(ALICE), quota.one(ALICE):
        with pytest.raises(TooMany, match="you have 2 uploads"), quota.one(ALICE):
            pass
        with quota.one(BOB), pytest.raises(TooMany, match="this node"), quota.one(CAROL):
            pass
        with quota.one(CAROL):
            pass


def test_what_failed_is_given_back():
    quota = Quota("uploads", per_client=1, overall=1)
    with pytest.raises(ValueError, match="broke"), quota.one(ALICE):
        raise ValueError("broke")
    with quota.one(ALICE):
        pass
