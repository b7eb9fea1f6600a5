"""What one requester may have of a node: bounded, counted, and nothing when it is over."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node import limits
from node.compute.account import Account, paths_weight, weight
from node.messages import Offer, decode, encode
from node.model import (
    DockerEngine,
    InlineFile,
    InlineInput,
    JobSpec,
    LocalPublisher,
    ObjectPublisher,
    Output,
    Sharding,
    UrlInput,
    WasmEngine,
)
from node.spec import document

DIGEST = f"sha256:{'0' * 64}"
FREE_LISTS = 16 * limits.KiB  # What the interpreter keeps for later while an offer is decoded.


def spec(text=0):
    return JobSpec(engine=WasmEngine(module="0" * 64, args=("x" * text,)), outputs=(Output(name="o", path="/o"),))


def offer(number, text=0):
    return Offer(f"{number:032x}", "c" * 64, spec(text), 8)


def files(count, inputs, **file):
    """A spec with ``count`` inline files in each of ``inputs`` inputs."""
    refs = (
        InlineInput(path=f"/i{i}", files={f"{i}-{j}.txt": InlineFile(**file) for j in range(count)})
        for i in range(inputs)
    )
    return JobSpec(engine=WasmEngine(module="0" * 64), inputs=tuple(refs), outputs=())


def with_args(*args):
    return JobSpec(engine=WasmEngine(module="0" * 64, args=args), outputs=())


def with_urls(count):
    refs = (
        UrlInput(url="https://e/", path=f"/{i}", size=2**40, etag=f'"{"e" * 300}"', sha256="0" * 64)
        for i in range(count)
    )
    return JobSpec(engine=WasmEngine(module="0" * 64), inputs=tuple(refs), outputs=())


class Look:
    """Counts how often it was told to give up."""

    def __init__(self):
        self.given_up = 0

    def end(self):
        self.given_up += 1


def test_offers_are_looked_at_up_to_a_number():
    account, looks = Account(), [Look() for _ in range(limits.OFFERS_CONSIDERED_PER_PEER)]
    for look in looks:
        assert account.overburdened(offer(1)) is None
        account.consider(offer(1), look.end)
    assert "too many offers" in account.overburdened(offer(1))
    account.considered(looks[3].end)
    assert account.overburdened(offer(1)) is None


def test_offers_are_looked_at_up_to_a_weight():
    account, each = Account(), limits.OFFERS_CONSIDERED_BYTES // 4
    looks = [Look() for _ in range(4)]
    for look in looks:
        large = offer(1, each - weight(spec()))
        assert account.overburdened(large) is None
        account.consider(large, look.end)
    assert "large specs" in account.overburdened(offer(2))
    account.considered(looks[0].end)
    assert account.overburdened(offer(1, each - weight(spec()))) is None
    assert "large specs" in account.overburdened(offer(1, each - weight(spec()) + 1))


@pytest.mark.parametrize("large", [files(256, 19, content=b""), with_args(*("\U0001f600" + "x" * 1000,) * 255)])
def test_the_heaviest_offer_that_a_client_may_submit_is_looked_at(large):
    assert limits.SPEC_BYTES_MAX * 0.9 < len(document(large)) <= limits.SPEC_BYTES_MAX
    assert Account().overburdened(Offer("a" * 32, "c" * 64, large, 8)) is None


def test_who_left_is_looked_at_no_more_and_counts_until_that_has_ended():
    account, look = Account(), Look()
    account.consider(offer(1), look.end)
    account.leave()
    assert look.given_up == 1
    assert not account.is_unused
    account.considered(look.end)
    assert account == Account()
    assert account.is_unused


def test_an_offer_is_taken_up_as_often_as_its_job_has_shards_and_until_it_is_over():
    account = Account()
    account.bid_on(offer(1))
    first = account.take(offer(1).job)
    assert first.offer == offer(1)
    assert account.take(offer(1).job) is first
    assert not account.is_unused
    account.forget(offer(1).job)
    assert account.take(offer(1).job) is None
    assert account == Account()


def test_offers_that_were_taken_up_are_the_last_to_make_room():
    account = Account()
    each = limits.OFFER_BYTES_PER_REQUESTER // 4
    for number in range(6):
        account.bid_on(offer(number, each - weight(spec())))
        account.take(offer(0).job)
    assert [number for number in range(6) if account.take(offer(number).job) is not None] == [0, 3, 4, 5]


def test_an_offer_that_was_taken_up_makes_room_for_a_large_new_one():
    account = Account()
    account.bid_on(offer(1))
    account.take(offer(1).job)
    account.bid_on(offer(2, limits.OFFER_BYTES_PER_REQUESTER + 1))
    assert account.take(offer(1).job) is None
    assert account.take(offer(2).job) is not None


def test_a_spec_weighs_once_however_many_executions_of_it_run_and_paths_weigh_each_time():
    account = Account()
    one, other = offer(1, 1_000_000), offer(1, 1_000_000)
    for _ in range(10):
        assert account.refusal(one) is None
        account.begin(one)
    assert account.execution_bytes == weight(one.spec)
    account.begin(other)  # The same job offered anew: another object, that its execution holds on to.
    assert account.execution_bytes == 2 * weight(one.spec)
    assert "large specs" in account.refusal(one, limits.OFFER_BYTES_PER_REQUESTER - account.execution_bytes + 1)
    assert account.refusal(one, limits.OFFER_BYTES_PER_REQUESTER - account.execution_bytes) is None
    account.begin(one, 100)
    assert account.execution_bytes == 2 * weight(one.spec) + 100
    account.end(one, 100)
    account.end(other)
    for _ in range(10):
        account.end(one)
    assert account == Account()


def test_paths_weigh_by_number_and_length():
    assert paths_weight(None) == 0
    assert paths_weight(("/a", "/bcd")) == 6 + 2 * 64


def test_an_offer_that_is_repeated_counts_once():
    account = Account()
    for _ in range(3):
        account.bid_on(offer(1, 1000))
    account.forget(offer(1).job)
    assert account == Account()


def test_the_oldest_offers_make_room_for_further_ones():
    account = Account()
    each = limits.OFFER_BYTES_PER_REQUESTER // 4
    for number in range(5):
        account.bid_on(offer(number, each - weight(spec())))
    kept = [number for number in range(5) if account.take(offer(number).job) is not None]
    assert kept == [1, 2, 3, 4]


def test_the_newest_offer_is_kept_however_large():
    account = Account()
    account.bid_on(offer(1))
    account.bid_on(offer(2, limits.OFFER_BYTES_PER_REQUESTER + 1))
    assert account.take(offer(1).job) is None
    assert account.take(offer(2).job) is not None


def test_four_thousand_ordinary_offers_fit():
    """What a requester has under way at most."""
    account = Account()
    for number in range(limits.JOBS_ACTIVE_MAX - 100):
        account.bid_on(Offer(f"{number:032x}", "c" * 64, JobSpec(engine=WasmEngine(module="0" * 64), outputs=()), 8))
    assert account.take(offer(0).job) is not None


def test_executions_are_limited_in_number_and_in_bytes():
    account, mine = Account(), offer(1)
    for _ in range(limits.EXECUTIONS_PER_REQUESTER):
        assert account.refusal(mine) is None
        account.begin(mine)
    assert "256 executions" in account.refusal(mine)
    account.end(mine)
    assert account.refusal(mine) is None
    assert "large specs" in account.refusal(offer(2, limits.OFFER_BYTES_PER_REQUESTER))


def test_who_left_has_no_offers_and_is_remembered_while_something_runs():
    account, mine = Account(), offer(1)
    account.bid_on(mine)
    account.begin(mine)
    account.leave()
    assert account.take(mine.job) is None
    assert not account.is_unused
    account.end(mine)
    assert account.is_unused


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans(), st.integers(0, 2 * 1024 * 1024)), max_size=40))
def test_whatever_comes_and_goes_the_bytes_are_counted(steps):
    account = Account()
    for number, comes, text in steps:
        if comes:
            account.bid_on(offer(number, text))
        elif text % 2:
            account.take(offer(number).job)
        else:
            account.forget(offer(number).job)
    for number in range(4):
        account.forget(offer(number).job)
    assert account == Account()


def test_text_weighs_what_it_takes():
    wide = JobSpec(engine=WasmEngine(module="0" * 64, env={"a" * 100: "b" * 1000}), outputs=())
    assert weight(wide) - weight(JobSpec(engine=WasmEngine(module="0" * 64), outputs=())) == 1100 + 2 * 64


@pytest.mark.parametrize(
    "large",
    [
        files(200, 40, size=0, sha256="0" * 64),
        files(171, 50, size=700_000, sha256="0" * 64),
        files(100, 60, content=b"x" * 80),
        with_args(*("\U0001f600" + "x" * 16_000,) * 16),
        with_urls(64),
    ],
)
def test_an_offer_weighs_what_it_takes_in_memory_whatever_it_is_made_of(large):
    body = encode(Offer("a" * 32, "c" * 64, large, 8))
    tracemalloc.start()
    try:
        kept = decode(body)
        taken = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert taken - FREE_LISTS <= weight(kept.spec) <= taken * 2


@pytest.mark.parametrize(
    "engine",
    [
        DockerEngine(image="i" * 512, digest=DIGEST, image_id=DIGEST, workdir="/" + "w" * 511, runtime="r" * 64),
        DockerEngine(image="i", entrypoint=("e" * 1000,)),
        WasmEngine(module="0" * 64, stdin="/" + "s" * 511),
    ],
)
def test_many_small_offers_weigh_what_they_take_in_memory(engine):
    body, count = encode(Offer("a" * 32, "c" * 64, JobSpec(engine=engine, outputs=()), 8)), 200
    tracemalloc.start()
    try:
        kept = [decode(body) for _ in range(count)]
        taken = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert taken - FREE_LISTS <= count * weight(kept[0].spec) <= taken * 2


def test_a_requester_cannot_fill_this_node_with_files_sent_along():
    large = files(200, 40, size=0, sha256="0" * 64)
    account = Account()
    for number in range(20):
        account.bid_on(Offer(f"{number:032x}", "c" * 64, large, 8))
    assert [number for number in range(20) if account.take(offer(number).job) is not None] == [19]


def test_an_honest_job_with_a_thousand_files_is_taken_many_times_at_once():
    """1 MiB in all, the most that a spec may have."""
    honest = files(250, 4, size=1_048, sha256="0" * 64)
    account, mine = Account(), Offer("a" * 32, "c" * 64, honest, 8)
    for _ in range(limits.EXECUTIONS_PER_REQUESTER):
        assert account.refusal(mine) is None
        account.begin(mine)
    for number in range(10):
        account.bid_on(Offer(f"{number:032x}", "c" * 64, honest, 8))
    assert all(account.take(offer(number).job) is not None for number in range(10))


def test_what_a_spec_says_of_shards_and_of_publishing_weighs_too():
    bare = with_args()
    cut = JobSpec(engine=bare.engine, outputs=(), sharding=Sharding(glob_pattern="*" * 1000, base_path="/" * 500))
    assert weight(cut) - weight(bare) == 1500 + 2 * 64
    for publisher in (ObjectPublisher(url="s3://" + "b" * 995), LocalPublisher(folder="/" + "f" * 999)):
        assert weight(JobSpec(engine=bare.engine, outputs=(), publisher=publisher)) - weight(bare) == 1000
