"""From a spec to a draft: what is asked of storage, and what each trouble with an input is called."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager

import msgspec
import pytest
import trio
import trio.testing
from unit.test_spec import body

from node import limits
from node.ambient import inline
from node.errors import DriverUnavailable, InvalidSpec, ResourceError, StorageError, TooMany
from node.model import CidInput, ClientId, Deal, UrlInput
from node.requester.drafting import Drafting, Pins
from node.spec import parse
from node.storage.base import Entry, Prepared
from node.storage.sources import Sources

ALICE = ClientId("a" * 64)
BOB = ClientId("b" * 64)


class Shelf:
    """A storage of CIDs in memory."""

    name = "shelf"

    def __init__(self, **trees):
        self.trees = trees
        self.lists = 0
        self.listing = 0
        self.most = 0
        self.hangs = False
        self.says = "no such thing on this shelf"

    async def list(self, ref):
        self.lists += 1
        self.listing += 1
        self.most = max(self.most, self.listing)
        await trio.sleep(10**6 if self.hangs else 1)
        self.listing -= 1
        if ref.cid not in self.trees:
            raise StorageError(self.says)
        return tuple(Entry(name, 1, not name) for name in ("", *self.trees[ref.cid]))

    @asynccontextmanager
    async def prepared(self, ref, origin):
        raise AssertionError("a requester prepares nothing")
        yield Prepared()


class Web:
    """URLs whose sizes are seen."""

    name = "web"

    async def resolved(self, ref):
        await trio.lowlevel.checkpoint()
        if "gone" in ref.url:
            raise StorageError("404")
        return msgspec.structs.replace(ref, size=7, etag='"x"')

    async def list(self, ref):
        await trio.lowlevel.checkpoint()
        assert ref.size == 7, "what is listed was pinned before"
        return (Entry("", 0, True), Entry("a.csv", ref.size, False))


def spec(*inputs, pattern=None, **more):
    sharding = {"sharding": {"glob_pattern": pattern} | more} if pattern else {}
    return parse(body(inputs=list(inputs), **sharding))


def cid(name, path="/inputs"):
    return {"type": "cid", "cid": name, "path": path}


def url(text, path="/web"):
    return {"type": "url", "url": text, "path": path}


def drafted(shelf, *specs, clients=(ALICE,)):
    """The drafts, or what was wrong, of these specs at the same time."""
    answers = [None] * len(specs)
    drafting = Drafting(Pins(Sources({CidInput: shelf, UrlInput: Web()}), {}), inline)

    async def one(number):
        try:
            answers[number] = await drafting.draft(clients[number % len(clients)], specs[number])
        except (InvalidSpec, TooMany) as error:
            answers[number] = error

    async def main():
        async with trio.open_nursery() as nursery:
            for number in range(len(specs)):
                nursery.start_soon(one, number)

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    return answers


def test_a_spec_that_needs_nothing_asks_nobody():
    shelf = Shelf()
    wanted = spec(cid("apples"))
    (draft,) = drafted(shelf, wanted)
    assert (draft.spec, draft.plan, draft.contents, shelf.lists) == (wanted, None, {}, 0)


def test_urls_are_pinned_also_without_sharding():
    (draft,) = drafted(Shelf(), spec(url("https://example.org/a.csv")))
    assert (draft.spec.inputs[0].size, draft.spec.inputs[0].etag) == (7, '"x"')


def test_all_inputs_are_listed_in_order_and_cut():
    shelf = Shelf(apples=["1", "2", "3"])
    wanted = spec(url("https://example.org/a.csv"), cid("apples"), pattern="/**/*[^s]", base_path="", batch_size=3)
    (draft,) = drafted(shelf, wanted)
    assert draft.plan == (("/web", "/web/a.csv", "/inputs/1"), ("/inputs/2", "/inputs/3"))
    assert draft.extra_bytes == sum(len(path) for shard in draft.plan for path in shard)


def test_inline_contents_go_apart():
    files = {"type": "inline", "path": "/in", "files": {"a": {"content": "aGVsbG8="}}}
    (draft,) = drafted(Shelf(), spec(files))
    assert list(draft.contents.values()) == [b"hello"]
    assert draft.spec.inputs[0].files["a"].content is None
    assert draft.extra_bytes == 5


def test_contents_that_are_missing_are_asked_for():
    files = {"type": "inline", "path": "/in", "files": {"a": {"size": 1, "sha256": "ab" * 32}}}
    (error,) = drafted(Shelf(), spec(files))
    assert error.path == "$.inputs[0].files['a']"


@pytest.mark.parametrize(
    ("inputs", "path", "why"),
    [
        ([cid("apples"), cid("pears", "/b")], "$.inputs[1]", "pears cannot be used: no such thing"),
        ([url("https://example.org/gone")], "$.inputs[0]", "404"),
        (
            [cid("apples"), {"type": "local", "source": "/x", "path": "/y"}],
            "$.inputs[1]",
            "no inputs of type local; its operator opens that with --local-input FOLDER",
        ),
        (
            [cid("apples"), {"type": "object_store", "url": "s3://b", "path": "/y"}],
            "$.inputs[1]",
            "no inputs of type object_store; its operator opens that with --object-store URL",
        ),
    ],
)
def test_an_input_that_cannot_be_listed_is_named(inputs, path, why):
    (error,) = drafted(Shelf(apples=["1"]), spec(*inputs, pattern="*"))
    assert error.path == path
    assert why in error.problem


class Names:
    """An engine whose names mean nothing, for this reason."""

    def __init__(self, error):
        self.error = error

    async def resolved(self, engine):
        await trio.lowlevel.checkpoint()
        raise self.error


@pytest.mark.parametrize(
    ("trouble", "told"),
    [(ResourceError("no such image"), InvalidSpec), (DriverUnavailable("no engine answers"), DriverUnavailable)],
)
def test_a_wrong_name_of_the_engine_is_the_clients_and_what_cannot_be_told_now_the_nodes(trouble, told):
    wanted = parse(json.dumps({"engine": {"type": "docker", "image": "debian:12"}}).encode())
    drafting = Drafting(Pins(Sources({}), {"docker": Names(trouble)}), inline)
    with pytest.raises(told) as caught:
        trio.run(drafting.draft, ALICE, wanted)
    assert str(trouble) in str(caught.value)
    assert told is DriverUnavailable or caught.value.path == "$.engine.image"


def test_what_an_error_names_already_is_not_named_again():
    shelf = Shelf()
    shelf.says = "a URL like apples cannot be had"
    (error,) = drafted(shelf, spec(cid("apples"), pattern="*"))
    assert error.problem == "a URL like apples cannot be had"


def test_a_storage_that_hangs_is_given_up():
    shelf = Shelf(apples=["1"])
    shelf.hangs = True
    (error,) = drafted(shelf, spec(cid("apples"), pattern="*"))
    assert error.path == "$.inputs"
    assert "150 s" in error.problem


def test_endless_listings_are_refused():
    shelf = Shelf(apples=[str(number) for number in range(limits.LISTED_MAX // 2)])
    (error,) = drafted(shelf, spec(*(cid("apples", f"/{number}") for number in range(3)), pattern="/0/1", base_path=""))
    assert error.path == "$.inputs[1]"
    assert shelf.lists == 2


def test_shards_times_nodes_have_a_limit():
    shelf = Shelf(apples=[f"{number:05}" for number in range(limits.SHARDS_MAX)])
    most = limits.JOB_EXECUTIONS_MAX // limits.SHARDS_MAX
    wanted = [
        msgspec.structs.replace(spec(cid("apples"), pattern="*"), deal=Deal(concurrency=number, confidence=1))
        for number in (most, most + 1)
    ]
    draft, error = drafted(shelf, *wanted)
    assert len(draft.plan) == limits.SHARDS_MAX
    assert error.path == "$.deal.concurrency"
    assert "batch_size" in error.problem


def test_a_client_with_many_submissions_does_not_hold_up_another():
    shelf = Shelf(apples=["1"])
    wanted = spec(cid("apples"), pattern="*")
    drafts = drafted(shelf, *[wanted] * 40, clients=[ALICE] * 39 + [BOB])
    assert all(draft.plan == (("/inputs/1",),) for draft in drafts)
    assert shelf.most == 4


def test_submissions_that_wait_have_a_limit_for_each_client():
    shelf = Shelf(apples=["1"])
    wanted = spec(cid("apples"), pattern="*")
    count = limits.DRAFTS_PER_CLIENT + 2
    drafts = drafted(shelf, *[wanted] * count, clients=[ALICE] * (count - 1) + [BOB])
    assert sum(isinstance(draft, TooMany) for draft in drafts) == 1
    assert not isinstance(drafts[-1], TooMany)


def test_what_the_spec_is_called_includes_what_was_pinned():
    (draft,) = drafted(Shelf(), spec(url("https://example.org/a.csv")))
    assert json.loads(msgspec.json.encode(draft.spec))["inputs"][0]["size"] == 7
