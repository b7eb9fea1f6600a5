"""What a node says that publishes nowhere: which flag of its operator would change that."""

from __future__ import annotations

import pytest

from node.model import IpfsPublisher, LocalPublisher, NonePublisher, ObjectPublisher, Publisher, VaultPublisher
from node.publisher.base import Publishers


@pytest.mark.parametrize(
    ("where", "words"),
    [
        (ObjectPublisher(url="s3://b/x"), "object store; its operator opens that with --object-publish URL"),
        (LocalPublisher(folder="/srv"), "folder; its operator opens that with --local-publish FOLDER"),
    ],
)
def test_a_place_that_the_operator_has_not_opened_names_the_flag(where: Publisher, words: str) -> None:
    assert Publishers({}).refusal(where) == f"this node publishes to no {words}"


def test_what_needs_no_way_is_not_refused() -> None:
    assert Publishers({}).refusal(VaultPublisher()) is None
    assert Publishers({}).refusal(NonePublisher()) is None
    assert Publishers({}).refusal(IpfsPublisher()) == "this node publishes to no ipfs"
