"""Object stores that are slow, gone, hostile, changing, or not for this node: a reason, and no secret in it."""

from __future__ import annotations

import re
import signal

import obstore
import pytest
import trio
from doubles.inputcaches import guarded
from doubles.objectservers import S3_KEY, S3_SECRET
from doubles.peers import peer
from doubles.webanswers import mute, says, web_server
from obstore.store import S3Store

from node import limits
from node.ambient import Threads
from node.errors import StorageError
from node.model import ObjectInput
from node.storage import objects
from node.storage.cache import InputCache
from node.storage.object_store import ObjectInputs, ObjectStore

MANY = 1_100  # Two pages of a listing.


def ref(url):
    return ObjectInput(url=url, path="/inputs")


def inputs(tmp_path, *listed):
    return ObjectInputs(ObjectStore(listed), InputCache(tmp_path / "inputs", 100_000_000, Threads()), Threads())


@pytest.fixture
def bucket(s3, monkeypatch):
    for name, value in s3.env.items():
        monkeypatch.setenv(name, value)
    return s3.bucket()


@pytest.fixture
def hasty(monkeypatch):
    """Calls that give up soon."""
    for name in ("OBJECT_CALL_S", "OBJECT_LIST_S"):
        monkeypatch.setattr(limits, name, 1.0)


def store_of(bucket):
    return S3Store(bucket.removeprefix("s3://"), client_options={"allow_http": True})


async def read(driver, at):
    async with driver.prepared(at, peer(1)) as prepared:
        return {
            str(path.relative_to(prepared.path)): path.read_bytes()
            for path in prepared.path.rglob("*")
            if path.is_file()
        }


async def reason(call, *arguments):
    with pytest.raises(StorageError) as caught:
        await call(*arguments)
    told = f"{caught.value!r} {caught.value.__cause__!r}"
    assert not [word for word in (S3_SECRET, S3_KEY, "StringToSign", "AWS4-HMAC") if word in told]
    return str(caught.value)


def test_a_listing_has_all_its_pages(bucket, tmp_path):
    async def main():
        store = store_of(bucket)
        for number in range(MANY):
            obstore.put(store, f"p/{number:04}", b"%d" % number)
        driver = inputs(tmp_path, bucket)
        at = ref(f"{bucket}/p")
        assert len(await driver.list(at)) == MANY + 1
        assert await read(driver, at) == {f"{number:04}": b"%d" % number for number in range(MANY)}

    guarded(main)


def test_more_objects_than_an_input_may_have_are_refused(bucket, tmp_path, monkeypatch):
    async def main():
        store = store_of(bucket)
        for number in range(12):
            obstore.put(store, f"p/{number:02}", b"x")
        monkeypatch.setattr(limits, "OBJECTS_MAX", 12)
        assert await inputs(tmp_path, bucket).size(ref(f"{bucket}/p")) == 12
        monkeypatch.setattr(limits, "OBJECTS_MAX", 11)
        assert "more than 11 objects" in await reason(inputs(tmp_path, bucket).size, ref(f"{bucket}/p"))

    guarded(main)


def test_only_what_the_operator_lists_is_read(bucket, tmp_path):
    async def main():
        obstore.put(store_of(bucket), "data/x", b"x")
        obstore.put(store_of(bucket), "database", b"secret")
        driver = inputs(tmp_path, f"{bucket}/data")
        assert await read(driver, ref(f"{bucket}/data")) == {"x": b"x"}
        for other in (bucket, f"{bucket}/database", f"{bucket}/dat", "s3://another", bucket.replace("s3", "az")):
            for call in (driver.to_fetch, driver.size, driver.list):
                assert "--object-store" in await reason(call, ref(other))
            assert "--object-store" in await reason(read, driver, ref(other))

    guarded(main)


@pytest.mark.parametrize(
    "change", [lambda store: obstore.put(store, "p/b", b"2" * 9), lambda store: obstore.delete(store, "p/b")]
)
def test_an_object_that_changes_between_listing_and_reading_fails_the_read(bucket, tmp_path, change):
    async def main():
        store = store_of(bucket)
        obstore.put(store, "p/b", b"1" * 9)
        objects_read = ObjectStore([bucket])
        listing = await objects_read.listing(f"{bucket}/p")
        [(_, found)] = listing.objects
        assert await objects_read.piece(listing, found, 0, 9) == b"1" * 9
        change(store)
        assert "the source changed" in await reason(objects_read.piece, listing, found, 0, 9)

    guarded(main)


def test_a_new_version_is_another_input(bucket, tmp_path):
    async def main():
        driver = inputs(tmp_path, bucket)
        for version in (b"1", b"2"):
            obstore.put(store_of(bucket), "p/b", version)
            assert await read(driver, ref(f"{bucket}/p")) == {"b": version}

    guarded(main)


def test_a_tree_is_put_and_read_back(bucket, tmp_path):
    tree = {"stdout": b"out", "outputs/big": b"0123456789" * 2_000_000, "outputs/d/empty": b""}
    for name, content in tree.items():
        (tmp_path / "results" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "results" / name).write_bytes(content)
    (tmp_path / "results" / "link").symlink_to("/etc/passwd")

    async def main():
        store = ObjectStore([f"{bucket}/published"])
        for _ in range(2):
            await store.put_tree(tmp_path / "results", f"{bucket}/published/job/0")
        assert await read(inputs(tmp_path, bucket), ref(f"{bucket}/published/job/0")) == tree
        assert "--object-store" in await reason(store.put_tree, tmp_path / "results", f"{bucket}/elsewhere")

    guarded(main)


def test_a_cancelled_upload_leaves_no_part_of_an_object(bucket, tmp_path, monkeypatch):
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "big").write_bytes(b"x" * 40_000_000)
    monkeypatch.setattr(objects, "_PART_BYTES", 5 * limits.MiB)

    async def main():
        with trio.move_on_after(0.01) as scope:
            await ObjectStore([bucket]).put_tree(tmp_path / "results", f"{bucket}/p")
        assert scope.cancelled_caught
        assert "nothing lies at" in await reason(inputs(tmp_path, bucket).to_fetch, ref(f"{bucket}/p"))

    guarded(main)


def test_wrong_credentials_are_a_reason_without_them(bucket, tmp_path, monkeypatch):
    async def main():
        obstore.put(store_of(bucket), "p/b", b"1")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", S3_SECRET + "x")
        driver = inputs(tmp_path, bucket)
        for url in (bucket, f"{bucket}/p", f"{bucket}/p/b"):
            said = await reason(driver.to_fetch, ref(url))
            assert "check the credentials in the environment of the node" in said
            assert said.startswith(bucket)
        (tmp_path / "results").mkdir()
        (tmp_path / "results" / "x").write_bytes(b"x")
        assert "credentials" in await reason(ObjectStore([bucket]).put_tree, tmp_path / "results", f"{bucket}/p")

    guarded(main)


def test_a_bucket_that_is_not_there_is_said(bucket, tmp_path):
    said = guarded(reason, inputs(tmp_path, "s3://nobodys").to_fetch, ref("s3://nobodys"))
    assert said.startswith("s3://nobodys: not there: check the name of the bucket")


def test_a_store_that_is_not_there_is_said(bucket, tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setattr(objects, "_RETRIES", {"max_retries": 0})
    said = guarded(reason, inputs(tmp_path, bucket).to_fetch, ref(bucket))
    assert "cannot be reached" in said


def test_a_store_that_falls_silent_is_given_up(s3, bucket, tmp_path, hasty):
    async def main():
        obstore.put(store_of(bucket), "p/b", b"1")
        driver = inputs(tmp_path, bucket)
        at = ref(f"{bucket}/p/b")
        assert await driver.size(at) == 1
        s3.signal(signal.SIGSTOP)
        try:
            assert "no answer within 1 s" in await reason(driver.size, at)
            assert "no answer within 1 s" in await reason(read, driver, at)
        finally:
            s3.signal(signal.SIGCONT)
        assert await driver.size(at) == 1

    guarded(main)


def listing_of(*keys):
    found = "".join(
        f"<Contents><Key>{key}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><Size>1</Size>"
        f"<ETag>&quot;1&quot;</ETag></Contents>"
        for key in keys
    )
    body = f"<ListBucketResult><IsTruncated>false</IsTruncated>{found}</ListBucketResult>"
    return says(body.encode(), connection="close")


@pytest.mark.parametrize(
    ("answer", "reason_said"),
    [
        (listing_of("p/../../etc/passwd"), "cannot be a path"),
        (listing_of("p//x"), "cannot be a path"),
        (listing_of("p/./x"), "cannot be a path"),
        (listing_of("p/a&#10;b"), "cannot be a path|cannot be reached"),
        (listing_of("p/a", "p/a/b"), "an object and a folder at once"),
        (says(b"<nonsense", connection="close"), "cannot"),
        (says(b"<html>secret of the server</html>", 500, connection="close"), "cannot serve it .500."),
        (mute, "no answer within|cannot be reached"),
    ],
)
def test_a_store_that_means_harm_is_a_reason(bucket, tmp_path, monkeypatch, hasty, answer, reason_said):
    monkeypatch.setattr(objects, "_RETRIES", {"max_retries": 0})
    with web_server({"/evil": answer}) as web:
        monkeypatch.setenv("AWS_ENDPOINT_URL", web.url(""))
        said = guarded(reason, read, inputs(tmp_path, "s3://evil"), ref("s3://evil/p/"))
        assert re.search(reason_said, said)
        assert "secret of the server" not in said
    assert list((tmp_path / "inputs").iterdir()) == []


def test_an_object_outside_the_folder_that_was_asked_for_is_not_taken(bucket, tmp_path, monkeypatch):
    with web_server({"/evil": listing_of("q/x")}) as web:
        monkeypatch.setenv("AWS_ENDPOINT_URL", web.url(""))
        with pytest.raises(StorageError, match="'q/x', which lies outside s3://evil/p"):
            guarded(read, inputs(tmp_path, "s3://evil"), ref("s3://evil/p/"))
