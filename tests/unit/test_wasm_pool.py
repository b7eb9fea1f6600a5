"""Which idle worker is next: never another tenant's, never more than there may be, never an old one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from node.executor.wasm.pool import Key, Place, Pool
from node.executor.wasm.settings import Settings
from node.model import Sha256


def key(
    tenant: str = "a",
    module: str = "m",
    memory_bytes: int = 1,
    *,
    deterministic: bool = True,
    reads: bytes = b"/in",
    inode: int = 1,
) -> Key:
    settings = Settings("x86_64", deterministic=deterministic)
    return Key(tenant, Sha256(module), memory_bytes, settings, reads=(Place(reads, 1, inode),), results=b"/results")


def test_a_worker_comes_back_for_its_own_key_alone() -> None:
    pool: Pool[str] = Pool(8, 60)
    pool.give(key(), "worker", 0)
    for other in (
        key(tenant="b"),
        key(module="n"),
        key(memory_bytes=2),
        key(deterministic=False),
        key(reads=b"/x"),
        key(inode=2),
    ):
        assert pool.take(other) is None
    assert pool.take(key()) == "worker"
    assert pool.take(key()) is None


def test_the_worker_that_was_busy_last_is_taken_first() -> None:
    pool: Pool[str] = Pool(8, 60)
    pool.give(key(), "old", 0)
    pool.give(key(), "new", 1)
    assert [pool.take(key()), pool.take(key())] == ["new", "old"]


def test_one_too_many_ends_the_one_idle_for_longest() -> None:
    pool: Pool[str] = Pool(2, 60)
    assert pool.give(key("a"), "a", 0) == []
    assert pool.give(key("b"), "b", 1) == []
    assert pool.give(key("c"), "c", 2) == ["a"]
    assert pool.take(key("a")) is None


def test_idle_workers_expire_at_their_time_and_not_before() -> None:
    pool: Pool[str] = Pool(8, 60)
    assert pool.next_expiry() is None
    pool.give(key("a"), "a", 0)
    pool.give(key("b"), "b", 10)
    assert pool.next_expiry() == 60
    assert pool.expired(59.9) == []
    assert pool.expired(60) == ["a"]
    assert pool.next_expiry() == 70
    assert pool.expired(1000) == ["b"]
    assert pool.next_expiry() is None


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans())), st.integers(0, 4))
def test_no_worker_is_lost_or_had_twice(steps: list[tuple[str, bool]], size: int) -> None:
    pool: Pool[int] = Pool(size, 5)
    idle: set[int] = set()
    owner: dict[int, str] = {}
    for now, (tenant, giving) in enumerate(steps):
        gone = pool.expired(now)
        if giving:
            owner[now] = tenant
            idle.add(now)
            gone += pool.give(key(tenant), now, now)
        elif (taken := pool.take(key(tenant))) is not None:
            assert owner[taken] == tenant
            idle.remove(taken)
        for worker in gone:
            idle.remove(worker)
        assert len(idle) <= size
        assert all(now - worker < 5 for worker in idle)
    assert set(pool.expired(float("inf"))) == idle
