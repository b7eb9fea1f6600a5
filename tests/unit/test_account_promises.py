"""What open bids would have a node fetch: added up once, and gone when they are over."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from node.compute.account import Accounts, Promises


def test_what_open_bids_would_fetch_counts_once_however_many_name_it():
    accounts = Accounts()
    one, other = accounts.of("one"), accounts.of("other")
    one.promise("1" * 32, {b"a": 5, b"b": 7})
    other.promise("2" * 32, {b"a": 5, b"c": 1})
    assert accounts.promises.total_bytes == 13
    one.promise("1" * 32, {b"a": 5})
    assert accounts.promises.total_bytes == 6
    one.forget("1" * 32)
    assert accounts.promises.total_bytes == 6
    other.promise("3" * 32, {b"d": 2})
    other.take("3" * 32)
    assert accounts.promises.total_bytes == 6
    other.leave()
    assert accounts.promises == Promises()


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["promise", "take", "forget", "leave"]),
            st.integers(0, 2),
            st.integers(0, 3),
            st.dictionaries(st.sampled_from([b"a", b"b", b"c"]), st.integers(1, 9)),
        ),
        max_size=40,
    )
)
def test_whatever_is_promised_and_over_the_sum_is_that_of_what_is_open(steps):
    accounts, kept = Accounts(), {}
    for what, who, job, inputs in steps:
        account = accounts.of(who)
        if what == "promise":
            account.promise(job, inputs)
            kept[who, job] = inputs
        elif what == "leave":
            account.leave()
            kept = {key: inputs for key, inputs in kept.items() if key[0] != who}
        else:
            getattr(account, what)(job)
            kept.pop((who, job), None)
        assert accounts.promises.total_bytes == sum(
            size for _, size in {each for inputs in kept.values() for each in inputs.items()}
        )
    for who in range(3):
        accounts.of(who).leave()
    assert accounts.promises == Promises()
