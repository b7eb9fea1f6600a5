"""Whether a node bids: each check alone, at its border, with the code that the requester's user sees."""

from __future__ import annotations

import msgspec
import pytest
import trio
from doubles.peers import peer

from node import limits
from node.compute.admission import (
    Abilities,
    Refusal,
    looked_at,
    refused_at_sight,
    refused_for_size,
    wait_for_room,
)
from node.compute.capacity import Ledger, Need
from node.compute.policy import Policy, policy_of
from node.compute.queue import Booking, Queue
from node.config import SelectionConfig
from node.errors import Absent, DriverUnavailable, NoRoom, StorageError, Unconfirmed
from node.messages import Offer
from node.model import CidInput, Deal, InlineFile, InlineInput, IpfsPublisher, JobSpec, Output, Resources, WasmEngine
from node.publisher.base import Publishers
from node.storage.sources import Sources

SPEC = JobSpec(
    engine=WasmEngine(module="0" * 64),
    verifier="deterministic",
    deal=Deal(concurrency=2),
    resources=Resources(cpu=1.0, memory_bytes=10, disk_bytes=10),
    timeout_s=60.0,
)


ME, SENDER = peer(1), peer(2)


def busy(waiting=0, requester=SENDER):
    """A queue in front of a node that runs one thing, all of it, for an hour at most."""
    queue = Queue(Ledger(Need(1000, 10, 20)))
    whole = Booking(requester=requester, kind="k", need=Need(1000, 10, 10), limit_s=3600.0)
    for number in range(waiting + 1):
        queue.ask(f"{number}", whole, 0.0)
    return queue


class Shelf:
    """A storage of sizes by CID; a size below 0 cannot be used."""

    name = "shelf"

    def __init__(self, **sizes):
        self._sizes = sizes
        self.asked = []

    async def to_fetch(self, ref):
        self.asked.append(ref.cid)
        size = self._sizes.get(ref.cid)
        if size is None:
            raise Absent(f"{ref.cid} was found nowhere")
        if size < 0:
            raise StorageError("it is broken")
        return size


class Engine:
    """One that runs everything but what ``forbids`` and ``lacks`` say."""

    def __init__(self, forbids=None, lacks=None):
        self._forbids = forbids
        self._lacks = lacks

    def refusal(self, engine):
        return self._forbids

    async def looked_up(self, engine):
        if self._lacks is not None:
            raise DriverUnavailable(self._lacks)
        return "engine 1"


def able(**changes):
    abilities = {
        "engines": {"wasm": Engine()},
        "verifiers": ("deterministic", "noop"),
        "storage": Shelf(),
        "publishers": Publishers({}),
        "job_limit": Need(1000, 10, 20),
        "timeout_s": 60.0,
        "policy": Policy(),
    }
    return Abilities(**abilities | changes)


def offered(module_bytes=8, **changes):
    return Offer("1" * 32, "c" * 64, msgspec.structs.replace(SPEC, **changes), module_bytes)


def refusal(offer, **abilities):
    """The answer as the role finds it, apart from the queue."""
    can = able(**abilities)
    refused = refused_at_sight(SENDER, offer, can)
    if refused is None:
        found = trio.run(looked_at, offer.spec, can)
        if isinstance(found, Refusal):
            return found
        assert found.runs_with == "engine 1"
        refused = refused_for_size(offer.spec, found.fetched_bytes, can)
    return refused


def code(offer, **abilities):
    refused = refusal(offer, **abilities)
    return None if refused is None else refused.code


def test_what_can_be_run_is_bid_on():
    assert code(offered(limits.MODULE_BYTES_MAX)) is None


@pytest.mark.parametrize(
    ("changes", "abilities", "expected"),
    [
        ({}, {"engines": {"docker": Engine()}}, "engine"),
        ({}, {"engines": {"wasm": Engine(lacks="it is down")}}, "engine"),
        ({}, {"engines": {"wasm": Engine(forbids="not here")}}, "policy"),
        ({}, {"verifiers": ("noop",)}, "verifier"),
        ({"timeout_s": 60.1}, {}, "resources"),
        ({"resources": Resources(cpu=1.001, memory_bytes=1, disk_bytes=1)}, {}, "resources"),
        ({"resources": Resources(memory_bytes=11, disk_bytes=1)}, {}, "resources"),
        ({"resources": Resources(memory_bytes=1, disk_bytes=21)}, {}, "resources"),
        ({"deal": Deal(concurrency=1)}, {}, "policy"),
        ({"outputs": (Output(name="stderr", path="/o"),)}, {}, "policy"),
        ({"publisher": IpfsPublisher()}, {}, "policy"),
        ({"module_bytes": limits.MODULE_BYTES_MAX + 1}, {}, "policy"),
    ],
)
def test_each_check_refuses_with_its_code(changes, abilities, expected):
    assert code(offered(**changes), **abilities) == expected


def test_a_node_with_room_has_nobody_wait():
    assert wait_for_room(SENDER, SPEC, Queue(Ledger(Need(1000, 10, 10))), 0.0) == 0.0


def test_a_busy_node_says_how_long_it_takes_and_a_full_one_when_to_try_again():
    soon = msgspec.structs.replace(SPEC, timeout_s=3600.0)
    assert wait_for_room(SENDER, soon, busy(), 0.0) == 3600.0
    full = wait_for_room(SENDER, soon, busy(limits.EXECUTIONS_WAITING_PER_REQUESTER), 0.0)
    assert full.code == "full"
    assert full.reason == "128 executions of yours wait here already; try again in about 129 h"
    assert wait_for_room(SENDER, soon, busy(128, requester=ME), 0.0).reason.startswith("no room for it within")
    full = wait_for_room(SENDER, soon, busy(limits.EXECUTIONS_WAITING_MAX, requester=ME), 0.0)
    assert full.reason.startswith("1024 executions wait here already; try again")


def test_what_would_wait_for_longer_than_it_may_is_told_when_to_try_again():
    """Ten minutes, or as long as it may run itself."""
    assert wait_for_room(SENDER, SPEC, busy(), 3000.0) == 600.0
    full = wait_for_room(SENDER, SPEC, busy(), 2999.0)
    assert (full.code, full.reason) == ("full", "no room for it within about 10 min; try again in about 10 min")
    assert wait_for_room(SENDER, msgspec.structs.replace(SPEC, timeout_s=601.0), busy(), 2999.0) == 601.0


def data(*cids, **abilities):
    inputs = tuple(CidInput(cid=cid, path=f"/{number}") for number, cid in enumerate(cids))
    refused = refusal(offered(inputs=inputs), **abilities)
    return None if refused is None else (refused.code, refused.reason)


def test_a_node_without_storage_declines_jobs_with_data_alone():
    assert data(storage=Sources({})) is None
    assert data("a", storage=Sources({}))[0] == "data"


def test_every_input_must_be_here():
    assert data("a", "b", storage=Shelf(a=0, b=0)) is None
    assert data("a", "b", storage=Shelf(a=0)) == ("data", "b was found nowhere")


def test_every_input_is_looked_at_once():
    """A look may be a listing of a bucket, or a walk of a copy."""
    shelf = Shelf(a=0, b=5)
    assert data("a", "b", storage=shelf) is None
    assert shelf.asked == ["a", "b"]


def test_data_that_cannot_be_used_is_declined_with_the_reason():
    assert data("a", storage=Shelf(a=-1)) == ("data", "it is broken")


class Trouble:
    """A storage without a good answer."""

    name = "trouble"

    def __init__(self, error):
        self._error = error

    async def to_fetch(self, ref):
        raise self._error


@pytest.mark.parametrize(
    ("error", "answer"),
    [
        (NoRoom("the cache is full"), ("disk", "the cache is full")),
        (DriverUnavailable("no daemon"), ("data", "no daemon")),
        (Unconfirmed("the bytes are others"), ("data", "the bytes are others")),
        (
            OSError(24, "Too many open files"),
            ("internal", "this node could not look for its data: Too many open files"),
        ),
    ],
)
def test_whatever_trouble_a_driver_has_is_a_declined_offer(error, answer):
    assert data("a", storage=Trouble(error)) == answer


def test_all_that_has_to_be_fetched_must_fit_beside_the_results():
    assert data("a", "b", storage=Shelf(a=5, b=5)) is None
    assert data("a", "b", storage=Shelf(a=6, b=5))[0] == "disk"


def test_no_reason_is_longer_than_a_peer_may_send():
    """A longer one would break the protocol, and cost this node its session."""
    long = "/" + "a" * 500
    refused = refused_at_sight(
        SENDER, offered(outputs=(Output(name="a", path=long), Output(name="b", path=long))), able()
    )
    assert len(refused.reason) <= limits.REASON_CHARS_MAX


def test_the_checks_come_in_the_order_of_the_reference_system():
    """With everything wrong, mending one thing after the other shows the next: a user mends from left to right."""
    everything = offered(
        inputs=(CidInput(cid="a", path="/a"),),
        resources=Resources(cpu=9.0, memory_bytes=1, disk_bytes=15),
        timeout_s=99.0,
    )
    wrong = {"engines": {}, "verifiers": (), "storage": Sources({}), "job_limit": Need(1000, 10, 20), "timeout_s": 60.0}
    mends = [
        {},
        {"engines": {"wasm": Engine()}},
        {"verifiers": ("deterministic",)},
        {"storage": Shelf(a=6)},
        {"job_limit": Need(9000, 10, 20)},
        {"job_limit": Need(9000, 10, 21)},
        {"timeout_s": 99.0},
    ]
    seen = []
    for mend in mends:
        wrong |= mend
        seen.append(code(everything, **wrong))
    assert seen == ["engine", "verifier", "data", "resources", "disk", "resources", None]


def test_who_is_on_no_list_is_told_that_and_nothing_else():
    listed = policy_of(ME, SelectionConfig(clients=frozenset()))
    refused = refused_at_sight(SENDER, offered(), able(engines={}, verifiers=(), policy=listed))
    assert (refused.code, refused.reason) == ("policy", "its operator works for listed clients alone")


def test_inline_files_that_have_to_be_fetched_are_no_data():
    class Both(Shelf):
        async def to_fetch(self, ref):
            return 5 if isinstance(ref, InlineInput) or ref.cid == "far" else 0

    def fetches(*refs):
        return trio.run(looked_at, offered(inputs=refs).spec, able(storage=Both())).fetches_data

    small = InlineInput(files={"a": InlineFile(size=1, sha256="0" * 64)}, path="/i")
    assert not fetches(small, CidInput(cid="near", path="/n"))
    assert fetches(small, CidInput(cid="far", path="/f"))
