"""Every storage driver keeps the storage contract, over the real thing."""

from __future__ import annotations

import hashlib
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import obstore
import pytest
import trio
from contract.storages import FOLDERS, TREES, Can, FilesOfThisMachine, StorageContract, put_on_disk
from doubles.objectservers import ObjectServer
from doubles.webanswers import Web, says, web_server
from obstore.store import AzureStore, S3Store

from node.ambient import Threads
from node.errors import StorageError
from node.model import CidInput, InlineFile, InlineInput, LocalInput, ObjectInput, UrlInput
from node.storage.addresses import networks
from node.storage.base import Storage
from node.storage.filecoin_unsealed import FilecoinUnsealed
from node.storage.http import Http
from node.storage.inline import InlineFiles
from node.storage.local import LocalFiles
from node.storage.object_store import ObjectInputs, ObjectStore
from node.storage.reach import Reach, by_system
from node.storage.url import WebFiles

AT = "/inputs/x"
LOOPBACK = networks(["127.0.0.0/8"])


@dataclass
class OnDisk:
    """Trees in a folder, named by where they lie, or by what stands for a CID."""

    driver: Storage[Any]
    folder: Path
    by_cid: bool

    def ref(self, name):
        return CidInput(cid=name, path=AT) if self.by_cid else LocalInput(source=f"{self.folder}/{name}", path=AT)

    async def put(self, name, tree):
        put_on_disk(self.folder / name, tree)
        return self.ref(name)

    def nowhere(self):
        (self.folder / "file").write_bytes(b"x")
        return [self.ref(name) for name in ("nowhere", "file/below", "no/where")]

    def malformed(self):
        places = ("/etc/passwd", f"{self.folder}/../x", str(self.folder) + "x", "/", "/proc/self")
        if self.by_cid:
            return [self.ref(name) for name in ("", "..", ".", "a\0b", "file/../file", "/etc/passwd", "file//x")]
        return [LocalInput(source=place, path=AT) for place in places]


class TestLocal(FilesOfThisMachine):
    can = Can(trees=frozenset(TREES), fetches=False, knows_what_is_nowhere=True)

    @asynccontextmanager
    async def source(self, tmp_path, cache):
        folder = tmp_path / "listed"
        folder.mkdir()
        yield OnDisk(LocalFiles([folder], tmp_path / "cache", Threads()), folder, by_cid=False)


class TestFilecoinUnsealed(FilesOfThisMachine):
    can = Can(trees=frozenset(TREES), fetches=False, knows_what_is_nowhere=True, is_asked_first=True)

    @asynccontextmanager
    async def source(self, tmp_path, cache):
        folder = tmp_path / "copies"
        folder.mkdir()
        yield OnDisk(FilecoinUnsealed(f"{folder}/{{{{ cid }}}}", Threads()), folder, by_cid=True)


class Memory:
    """A requester's inline files."""

    def __init__(self):
        self.contents = {}

    async def fetch(self, origin, sha256, size):
        await trio.lowlevel.checkpoint()
        if sha256 not in self.contents:
            raise StorageError("its requester has no such file")
        return self.contents[sha256]


@dataclass
class InSpecs:
    """Trees inside specs."""

    driver: Storage[Any]
    memory: Memory

    async def put(self, name, tree):
        files = {}
        for path, content in tree.items():
            sha256 = hashlib.sha256(content).hexdigest()
            self.memory.contents[sha256] = content
            files[path] = InlineFile(size=len(content), sha256=sha256)
        return InlineInput(files=files, path=AT)

    def nowhere(self):
        return [InlineInput(files={"a": InlineFile(size=1, sha256="0" * 64)}, path=AT)]

    def malformed(self):
        sound = InlineFile(content=b"x")
        bad = [{name: sound} for name in ("../x", "/x", "a//b", "", ".", "a/", "a\nb")]
        bad += [{"a": sound, "a/b": sound}, {"a": InlineFile()}, {"a": InlineFile(content=b"x", sha256="0" * 64)}]
        return [InlineInput(files=files, path=AT) for files in bad]


class TestInline(StorageContract):
    can = Can(
        trees=FOLDERS - {"1000 files", "an empty folder in a folder", "names with line breaks"},
        fetches=True,
        knows_what_is_nowhere=False,
    )

    @asynccontextmanager
    async def source(self, tmp_path, cache):
        memory = Memory()
        yield InSpecs(InlineFiles(memory, cache, Threads()), memory)


@dataclass
class OnTheWeb:
    """Single files."""

    driver: WebFiles
    web: Web

    async def put(self, name, tree):
        at, content = f"/{quote(name)}", tree[""]
        self.web.answers[at] = says(content, etag='"1"')
        return await self.driver.resolved(UrlInput(url=self.web.url(at), path=AT))

    def nowhere(self):
        pin = {"size": 1, "etag": '"1"', "path": AT}
        return [UrlInput(url=url, **pin) for url in (self.web.url("/nowhere"), "http://127.0.0.1:1/refuses")]

    def malformed(self):
        pin = {"size": 1, "etag": '"1"', "path": AT}
        urls = (
            "ftp://h/x",
            "http:///x",
            "http://h/",
            "http://h/a%2Fb",
            "http://u:p@h/x",
            "http://h\\@i/x",
            "x",
            "http://h/..",
        )
        return [*(UrlInput(url=url, **pin) for url in urls), UrlInput(url="http://h/x", path=AT)]


class TestUrl(StorageContract):
    can = Can(trees=frozenset({"a file", "a file of many pieces"}), fetches=True, knows_what_is_nowhere=False)

    @asynccontextmanager
    async def source(self, tmp_path, cache):
        with web_server({}) as web:
            yield OnTheWeb(WebFiles(Reach(Http(), LOOPBACK, by_system), cache, Threads()), web)


@dataclass
class InAStore:
    """Objects of a bucket."""

    driver: ObjectInputs
    bucket: str
    store: S3Store | AzureStore

    async def put(self, name, tree):
        for path, content in tree.items():
            await trio.to_thread.run_sync(obstore.put, self.store, f"{name}/{path}".rstrip("/"), content)
        return ObjectInput(url=f"{self.bucket}/{name}", path=AT)

    def nowhere(self):
        obstore.put(self.store, "file", b"x")
        return [ObjectInput(url=f"{self.bucket}/{key}", path=AT) for key in ("nowhere", "file/below", "file/", "fil")]

    def malformed(self):
        keys = ("a//b", "../x", "a/../b", "./a", "a\x7fb", "/a", "a//")
        bad = [ObjectInput(url=f"{self.bucket}/{key}", path=AT) for key in keys]
        return [*bad, ObjectInput(url="s3://elsewhere/x", path=AT), ObjectInput(url=f"{self.bucket}x/a", path=AT)]


class ObjectStoreContract(StorageContract):
    """Both kinds of store."""

    can = Can(
        trees=frozenset(TREES) - {"an empty folder in a folder", "names with line breaks"},
        fetches=True,
        knows_what_is_nowhere=True,
    )
    server: ObjectServer

    @asynccontextmanager
    async def source(self, tmp_path, cache):
        bucket = self.server.bucket()
        store = self.server.store(bucket)
        yield InAStore(ObjectInputs(ObjectStore([bucket]), cache, Threads()), bucket, store)


class TestS3(ObjectStoreContract):
    @pytest.fixture(autouse=True)
    def _reached(self, s3, monkeypatch):
        self.server = s3
        for name, value in s3.env.items():
            monkeypatch.setenv(name, value)


class TestAzure(ObjectStoreContract):
    @pytest.fixture(autouse=True)
    def _reached(self, azure, monkeypatch):
        self.server = azure
        for name, value in azure.env.items():
            monkeypatch.setenv(name, value)
