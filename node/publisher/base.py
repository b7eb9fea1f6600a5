"""The publisher boundary: a winner puts results somewhere, the requester reads them back.

Lives here: the interface, and the dispatch by kind. Does not live here: when a winner publishes, and whether what is
read back is what won (``node.requester``); the requester's own vault, which is no publisher: winners hand over to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Protocol, TypeVar

from node.errors import StorageError
from node.model import (
    ExecutionId,
    JobId,
    LocalPublisher,
    NonePublisher,
    ObjectPublisher,
    PeerId,
    Publisher,
    VaultPublisher,
)

Where = TypeVar("Where", contravariant=True)  # a class of ``node.model.Publisher``


class Publishing(Protocol[Where]):
    """One way to publish. A path that both ends can compute is made of what both know of the execution (``below``)."""

    @property
    def name(self) -> str:
        """Its ``type`` in job specs."""

    def refusal(self, where: Where) -> str | None:
        """Why this node would neither publish there nor read back from there; None when it would. Pure."""

    async def publish(self, where: Where, below: str, results: Path) -> str:
        """Put the folder there, whole, and say where: a URI. On a winner; ``results`` holds regular files and folders.

        Publishing the same again gives the same. Cancelled, it leaves nothing at its final place.
        Raises StorageError (it cannot be put there), NoRoom.
        """

    async def retract(self, where: Where, below: str) -> None:
        """Leave nothing there of what ``publish`` put or was putting there, by this process or one before it.

        Nothing there: nothing happens. What others published stays, the same bytes too. Raises StorageError.
        """

    def published(self, where: Where, below: str, location: str, bytes_max: int) -> AbstractAsyncContextManager[Path]:
        """What a peer says it has published at ``location``, as a folder to be hashed, valid inside the context.

        On the requester, which trusts nothing of it: a location that is not where it should be, more than
        ``bytes_max`` bytes, or a tree of another shape than results have, raises BadResult. Raises StorageError when
        it cannot be read, NoRoom when this disk cannot take it.
        """


Ways = Mapping[type[Publisher], Publishing[Any]]

_OPENED_BY: Mapping[type[Publisher], tuple[str, str]] = {
    LocalPublisher: ("folder", "--local-publish FOLDER"),
    ObjectPublisher: ("object store", "--object-publish URL"),
}

WITHOUT_A_WAY = (VaultPublisher, NonePublisher)  # No way leads there: the requester has the files, or nobody.


class Publishers:
    """All the ways of this node to publish."""

    def __init__(self, ways: Ways) -> None:
        self._ways = dict(ways)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all of them."""
        return tuple(way.name for way in self._ways.values())

    def refusal(self, where: Publisher) -> str | None:
        """Why this node would neither publish there nor read back from there; None when it would. Pure."""
        if isinstance(where, WITHOUT_A_WAY):
            return None
        way = self._ways.get(type(where))
        if way is None:
            what, flag = _OPENED_BY.get(type(where), (str(where.__struct_config__.tag), ""))
            return f"this node publishes to no {what}" + (f"; its operator opens that with {flag}" if flag else "")
        return way.refusal(where)

    async def publish(self, where: Publisher, below: str, results: Path) -> str:
        """See Publishing; "" where there is nothing to do."""
        return "" if isinstance(where, WITHOUT_A_WAY) else await self._to(where).publish(where, below, results)

    async def retract(self, where: Publisher, below: str) -> None:
        """See Publishing; nothing where there is nothing to do."""
        if not isinstance(where, WITHOUT_A_WAY):
            await self._to(where).retract(where, below)

    def published(
        self, where: Publisher, below: str, location: str, bytes_max: int
    ) -> AbstractAsyncContextManager[Path]:
        """See Publishing."""
        return self._to(where).published(where, below, location, bytes_max)

    def _to(self, where: Publisher) -> Publishing[Any]:
        why_not = self.refusal(where)
        if why_not is not None:
            raise StorageError(why_not)
        return self._ways[type(where)]


def below(requester: PeerId, job: JobId, shard: int, execution: ExecutionId) -> str:
    """Where under a publisher's folder or prefix the results of a shard lie: ``<requester>/<job>/<shard>/<execution>``.

    Job ids are the requesters' own: without its name in front one could replace what another has read back.
    Only its own node knows an execution beforehand, so a liar leaves nothing where an honest winner publishes.
    """
    return f"{requester}/{job}/{shard}/{execution}"
