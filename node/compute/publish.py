"""A result that won, published where its job says. Does not live here: how (``node.publisher``), who is told."""

from __future__ import annotations

import msgspec

from node.compute.run import Bench, Execution
from node.errors import NoRoom, StorageError
from node.messages import NoResults, Results
from node.model import cut
from node.publisher.base import below


async def published(bench: Bench, given: Execution) -> Results | NoResults:
    """The answer to a requester that asked for it: where it is, and the list of its files; or why it is nowhere."""
    assert given.results is not None
    place = below(given.requester, given.job, given.shard, given.execution)
    folder = bench.folder(given.execution)
    try:
        async with bench.publishing.one(given.tenant):
            location = await bench.publishers.publish(given.spec.publisher, place, folder)
    except (StorageError, NoRoom) as error:
        return NoResults(given.execution, cut(str(error)))
    except OSError as error:  # This machine's trouble, wherever a driver met it: no file left to open, a broken disk.
        return NoResults(given.execution, cut(f"this node could not publish it: {error.strerror}"))
    return msgspec.structs.replace(given.results.handed_over, files=None, location=location)
