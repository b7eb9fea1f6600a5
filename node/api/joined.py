"""The route of many small result files in one answer: thousands of requests for a few bytes each take a minute.

What is asked for is a run of the list of files (``node.api.results.manifest``), so the sizes in that list say where one
file ends and the next begins, and the body is their bytes and nothing else. Does not live here: parts of one file.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Annotated, Any, BinaryIO

from litestar import Request, get
from litestar.params import FromPath, QueryParameter
from litestar.response.base import ASGIResponse
from litestar.types import Receive, Scope, Send
from typing_extensions import override

from node import limits
from node.ambient import Offload
from node.api.bodies import while_there
from node.api.results import PIECE_BYTES, listing_for
from node.api.services import api_of
from node.api.views import FileView
from node.errors import NotFound, StorageError

Caller = Request[Any, Any, Any]
First = Annotated[int, QueryParameter(ge=0, le=10**9, description="Where the first file stands in the list, from 0.")]
Count = Annotated[int, QueryParameter(ge=1, le=limits.FILES_JOINED_MAX, description="How many files at most.")]


class JoinedStream(ASGIResponse):
    """Files one after the other; a slow reader costs one piece of memory."""

    __slots__ = ("_offload", "_pieces")

    def __init__(self, pieces: Generator[bytes], offload: Offload, headers: dict[str, str]) -> None:
        super().__init__(headers=headers, media_type="application/octet-stream")
        self._pieces = pieces
        self._offload = offload

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Closes the file that it is at, whatever happens."""
        try:
            await self.start_response(send)
            async with while_there(receive):
                while piece := await self._offload(next, self._pieces, b""):
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self._pieces.close()


@get("/jobs/{job:str}/joined-results", operation_id="getResultsJoined")
async def joined(request: Caller, job: FromPath[str], first: First = 0, count: Count = 1) -> JoinedStream:
    """Result files `first` to `first + count - 1` of the list, their bytes one after the other."""
    services = api_of(request).services
    record, listing = await listing_for(request, job)
    files = listing.view.files[first : first + count]
    if not files:
        raise NotFound(f"job {record.job} has {len(listing.view.files)} result files, none stands at {first}")
    headers = {
        "cache-control": "private, no-cache",
        "content-disposition": "attachment",
        "content-length": str(sum(file.size for file in files)),
        "x-content-type-options": "nosniff",
    }
    pieces = pieces_of(files, lambda name: services.results.open(record, name))
    return JoinedStream(pieces, services.ambient.offload, headers)


def pieces_of(files: Sequence[FileView], opened: Callable[[str], BinaryIO]) -> Generator[bytes]:
    """All their bytes, in pieces of about PIECE_BYTES. Blocking. Raises NotFound, StorageError (a file shrank)."""
    waiting = bytearray()
    for line in files:
        for piece in _pieces_of(line, opened):
            waiting += piece
            if len(waiting) >= PIECE_BYTES:
                yield bytes(waiting)
                waiting.clear()
    if waiting:
        yield bytes(waiting)


def _pieces_of(line: FileView, opened: Callable[[str], BinaryIO]) -> Generator[bytes]:
    with opened(line.name) as file:
        left = line.size
        while left:
            piece = file.read(min(left, PIECE_BYTES))
            if not piece:
                raise StorageError("a result file ended before its size")
            left -= len(piece)
            yield piece
