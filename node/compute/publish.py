"""A result that won, published where its job says, and taken back when that does not count.

Lives here: what is noted before it is put anywhere, and for how long. Does not live here: how (``node.publisher``), who
is told, and when it does not count (``node.compute.role``).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import msgspec
import trio

from node import limits
from node.compute.run import Bench, Execution
from node.errors import NoRoom, ResourceError, StorageError
from node.messages import NoResults, Results
from node.model import Publisher, cut
from node.publisher.base import WITHOUT_A_WAY
from node.publisher.untold import Publication

log = logging.getLogger("quorate.compute")


async def published(bench: Bench, given: Execution) -> Results | NoResults:
    """The answer to a requester that asked for it: where it is, and the list of its files; or why it is nowhere.

    ``given.publication`` is what may lie somewhere since, whatever becomes of this.
    """
    assert given.results is not None
    try:
        async with bench.publishing.one(given.tenant):
            location = await _put(bench, given, given.spec.publisher)
    except (StorageError, NoRoom) as error:
        return NoResults(given.execution, cut(str(error)))
    except OSError as error:  # This machine's trouble, wherever a driver met it: no file left to open, a broken disk.
        return NoResults(given.execution, cut(f"this node could not publish it: {error.strerror}"))
    return msgspec.structs.replace(given.results.handed_over, files=None, location=location)


async def _put(bench: Bench, given: Execution, where: Publisher) -> str:
    if isinstance(where, WITHOUT_A_WAY):
        return ""
    offload = bench.ambient.offload
    publication = Publication(where, given.requester, given.job, given.shard, given.execution)
    await offload(bench.untold.note, publication)
    given.publication = publication
    location = await bench.publishers.publish(where, publication.below, bench.folder(given.execution))
    await offload(bench.untold.forget, publication)  # From here on a receipt may name it.
    return location


async def take_back(bench: Bench, publication: Publication) -> None:
    """Leave nothing of what does not count. What cannot be taken back now is tried again at the next start."""
    fields = {"execution": publication.execution, "job": publication.job, "to": publication.where.__struct_config__.tag}
    try:
        async with bench.retracting.one(publication.requester):
            await bench.ambient.offload(_noted, bench, publication)
            with trio.fail_after(limits.RETRACT_S):
                await bench.publishers.retract(publication.where, publication.below)
            await bench.ambient.offload(bench.untold.forget, publication)
    except (ResourceError, OSError, trio.TooSlowError) as error:
        reason = str(error) or f"not within {limits.RETRACT_S:g} s"
        log.warning("not_taken_back", extra=fields | {"reason": reason, "so": "the next start tries again"})
    else:
        log.info("taken_back", extra=fields)


async def take_back_all(bench: Bench, left_over: Sequence[Publication]) -> None:
    """Those that a start found."""
    async with trio.open_nursery() as nursery:
        for publication in left_over:
            nursery.start_soon(take_back, bench, publication)


def _noted(bench: Bench, publication: Publication) -> None:
    """For the next start. On a disk that takes no note it is taken back all the same."""
    try:
        bench.untold.note(publication)
        bench.untold.forget_oldest()
    except (NoRoom, OSError) as error:
        log.warning("not_noted", extra={"execution": publication.execution, "reason": str(error)})
