"""The deterministic profile's rules, without wasmtime: time, listings, numbers, randomness; what code is kept as."""

from __future__ import annotations

import itertools
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.executor.wasm.profile.calls import CALLS, TROUBLE
from node.executor.wasm.profile.clock import END_NS, EVENT_BYTES, Overslept, polled
from node.executor.wasm.profile.inodes import NAMELESS, Inodes
from node.executor.wasm.profile.listing import LISTINGS_BYTES_MAX, Listing, Listings, TooLong
from node.executor.wasm.profile.randomness import Randomness
from node.executor.wasm.settings import BASELINE, V3, Settings, identity, level_here

NOW = 1_000


def timer(user: int, timeout: int, *, absolute: bool = False) -> bytes:
    return struct.pack("<QB15xQ8xH6x", user, 0, timeout, absolute)


def readable(user: int) -> bytes:
    return struct.pack("<QB39x", user, 1)


def users(events: bytes) -> list[int]:
    return [struct.unpack_from("<Q", events, at)[0] for at in range(0, len(events), EVENT_BYTES)]


def test_time_goes_on_to_the_first_timer_and_all_that_are_due_then_ring() -> None:
    events, now = polled(timer(1, 500) + timer(2, 300) + timer(3, 1_300, absolute=True), NOW)
    assert (users(events), now) == ([2, 3], 1_300)


def test_a_timer_of_the_past_rings_and_time_does_not_go_back() -> None:
    assert polled(timer(1, 10, absolute=True), NOW)[1] == NOW


def test_what_can_be_read_is_ready_at_once_and_no_time_passes() -> None:
    events, now = polled(timer(1, 500) + readable(2) + timer(3, 0), NOW)
    assert (users(events), now) == ([2, 3], NOW)


def test_time_ends() -> None:
    assert polled(timer(1, END_NS - NOW), NOW)[1] == END_NS
    with pytest.raises(Overslept):
        polled(timer(1, END_NS - NOW + 1), NOW)


def dirents(names: list[bytes]) -> bytes:
    return b"".join(struct.pack("<QQIB3x", 99, 1_000 + place, len(name), 4) + name for place, name in enumerate(names))


@given(st.sets(st.binary(min_size=1, max_size=12).filter(lambda name: b"\0" not in name)), st.randoms())
def test_a_listing_does_not_depend_on_the_hosts_order(names: set[bytes], chance) -> None:  # type: ignore[no-untyped-def]
    mixed = sorted(names)
    chance.shuffle(mixed)
    numbers = {1_000 + place: name[0] for place, name in enumerate(mixed)}
    listing = Listing(dirents(mixed), numbers.__getitem__)
    expected = b"".join(
        struct.pack("<QQIB3x", place, name[0], len(name), 4) + name for place, name in enumerate(sorted(names), start=1)
    )
    assert listing.page(0, 1 << 20) == expected
    assert listing.page(len(names), 1 << 20) == listing.page(2**64 - 1, 10) == b""


def test_all_listings_together_have_a_limit() -> None:
    name = b"x" * 250
    large = Listing(dirents([name] * 60_000), lambda inode: inode)
    listings = Listings()
    kept = LISTINGS_BYTES_MAX // large.size
    for descriptor in range(kept):
        listings.keep(descriptor, large)
    listings.keep(0, large)
    with pytest.raises(TooLong):
        listings.keep(kept, large)


def test_a_listing_of_a_number_that_is_taken_over_is_forgotten() -> None:
    listings, one, other = Listings(), Listing(b"", int), Listing(b"", int)
    listings.keep(4, one)
    listings.keep(5, other)
    listings.renumber(4, 5)
    assert (listings.get(4), listings.get(5)) == (None, one)
    listings.renumber(7, 5)
    assert listings.get(5) is None


def test_numbers_are_given_as_files_are_met_and_never_twice() -> None:
    inodes = Inodes()
    assert [inodes.number(real) for real in (70, 50, 70, 0)] == [2, 3, 2, 0]
    inodes.forget(70)
    assert [inodes.number(70), inodes.number(90, links=0), inodes.number(50)] == [4, NAMELESS, 3]


def test_randomness_of_a_long_call_comes_in_pieces_that_differ() -> None:
    first, second = Randomness("s").pieces((1 << 20) + 5)
    assert (len(first), len(second)) == (1 << 20, 5)
    assert not first.startswith(second)
    assert b"".join(Randomness("s").pieces(5)) == first[:5]
    assert list(Randomness("s").pieces(0)) == []


def test_no_two_settings_share_machine_code() -> None:
    every = [Settings(*each) for each in itertools.product((V3, BASELINE, "aarch64"), (True, False), (True, False))]
    assert len({settings.key for settings in every}) == len(every)


def test_the_identity_names_what_results_depend_on() -> None:
    assert identity(V3) != identity(BASELINE)
    assert len(identity(level_here())) <= 128


def test_the_table_of_calls_is_wasis() -> None:
    assert len(CALLS) == len({call.name for call in CALLS}) == 45
    assert all(0 < errno <= 76 for errno in TROUBLE)
