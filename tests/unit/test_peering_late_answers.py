"""Peering: two ends agree which of several connections is used, in whatever order its answers are heard."""

from __future__ import annotations

import pytest
from unit.test_peering import Model, greeted, in_trio


@pytest.mark.parametrize("has_session", [False, True])
def test_the_last_connection_that_was_decided_for_is_used_whichever_answer_comes_first(has_session: bool) -> None:
    """Answers on several connections are heard in any order."""

    def check() -> None:
        model = greeted() if has_session else Model()
        for _ in range(2):
            model.connect()
        first, second = model.connections[-2:]
        for connection in (first, second, second, first):  # Two decisions, then two answers.
            model.step(connection)
        assert [end.is_used(link) for end, link in zip(model.ends, second.links, strict=True)] == [True, True]
        assert model.log == (["joined"], ["joined"])

    in_trio(check)
