"""Who may connect: so many per address, so many nameless ones, loopback as it likes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node import limits
from node.transport.libp2p.admission import Admission, prefix_of


@pytest.mark.parametrize(
    ("ip", "prefix"),
    [
        ("1.2.3.4", "1.2.3.0/24"),
        ("::ffff:1.2.3.99", "1.2.3.0/24"),
        ("2001:db8:1:2::3", "2001:db8:1::/48"),
        ("127.0.0.9", ""),
        ("::1", ""),
        ("::ffff:127.0.0.1", ""),
        ("fe80::1%eth0", "fe80::/48"),
    ],
)
def test_what_counts_as_one_address(ip: str, prefix: str):
    assert prefix_of(ip) == prefix


def test_one_address_gets_so_many_connections_and_others_get_theirs():
    admission = Admission()
    for _ in range(limits.CONNECTIONS_PER_ADDRESS_MAX):
        assert admission.enter("a")
        admission.named("a")
    assert not admission.enter("a")
    assert admission.enter("b")
    admission.leave("a", named=True)
    assert admission.enter("a")


def test_one_address_gets_fewer_before_it_says_who_it_is():
    admission = Admission()
    for _ in range(limits.HANDSHAKES_PER_ADDRESS_MAX):
        assert admission.enter("a")
    assert not admission.enter("a")
    admission.leave("a", named=False)
    assert admission.enter("a")


def test_loopback_has_no_limit_of_its_own_but_the_whole_has():
    admission = Admission(open_max=200, nameless_max=100)
    assert all(admission.enter("") for _ in range(100))
    assert not admission.enter("")
    assert not admission.enter("a")
    for _ in range(100):
        admission.named("")
        assert admission.enter("")
    admission.named("")
    assert not admission.enter("")


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=100))
def test_after_everybody_has_left_nothing_is_counted(visits: list[tuple[str, bool]]):
    admission = Admission(open_max=20, nameless_max=10)
    inside = []
    for prefix, says_its_name in visits:
        if admission.enter(prefix):
            if says_its_name:
                admission.named(prefix)
            inside.append((prefix, says_its_name))
    for prefix, named in inside:
        admission.leave(prefix, named=named)
    assert admission == Admission(open_max=20, nameless_max=10)
