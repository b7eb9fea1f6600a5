"""Routes of results: what there is, the files themselves, and their deletion by the owner."""

from __future__ import annotations

from typing import Any, BinaryIO

import trio
from litestar import HttpMethod, MediaType, Request, Response, delete, get, route
from litestar.exceptions import HTTPException
from litestar.params import FromPath
from litestar.response.base import ASGIResponse
from litestar.types import Receive, Scope, Send
from typing_extensions import override

from node.ambient import Offload
from node.api.bodies import while_there
from node.api.listings import Listing, listing_of
from node.api.openapi import also_head
from node.api.ranges import Beyond, Part, Selection, Unchanged, etag, select
from node.api.services import api_of
from node.api.views import FileView
from node.errors import Conflict, NotFound, StorageError
from node.journal.base import ForgetResults
from node.journal.records import JobRecord

PIECE_BYTES = 256 * 1024

Caller = Request[Any, Any, Any]


class FileStream(ASGIResponse):
    """A file, or a part of it, in pieces: a slow reader costs one piece of memory."""

    __slots__ = ("_count", "_file", "_offload", "_offset")

    def __init__(self, file: BinaryIO, offload: Offload, status: int, headers: dict[str, str]) -> None:
        super().__init__(status_code=status, headers=headers, media_type="application/octet-stream")
        self._file = file
        self._offload = offload
        self._offset = 0
        self._count = 0

    def of(self, offset: int, count: int) -> FileStream:
        """Send ``count`` bytes from ``offset`` on."""
        self._offset, self._count = offset, count
        return self

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Closes the file, whatever happens."""
        try:
            await self.start_response(send)
            async with while_there(receive):
                await self._send_pieces(send)
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self._file.close()

    async def _send_pieces(self, send: Send) -> None:
        await self._offload(self._file.seek, self._offset)
        left = self._count
        while left:
            piece = await self._offload(self._file.read, min(left, PIECE_BYTES))
            if not piece:
                raise StorageError("a result file ended before its size")
            left -= len(piece)
            await send({"type": "http.response.body", "body": piece, "more_body": True})


@get("/jobs/{job:str}/results", operation_id="listResults")
async def manifest(request: Caller, job: FromPath[str]) -> Response[bytes]:
    """All result files of a job, with their hashes from its receipt."""
    _, listing = await listing_for(request, job)
    return Response(await api_of(request).services.ambient.offload(listing.rendered), media_type=MediaType.JSON)


@delete("/jobs/{job:str}/results", operation_id="deleteResults")
async def forget(request: Caller, job: FromPath[str]) -> None:
    """Delete the results that are kept for a job. The job and its receipt stay."""
    api = api_of(request)
    record = await _with_results(request, job)
    api.listings.forget(record.job)
    await api.services.ambient.offload(api.services.results.delete, record)
    durable = trio.Event()
    api.services.journal.write((ForgetResults(record.job),), durable.set)
    await durable.wait()


@route(
    "/jobs/{job:str}/results/{name:path}",
    http_method=[HttpMethod.GET, HttpMethod.HEAD],
    operation_id=also_head("getResult"),
)
async def download(request: Caller, job: FromPath[str], name: FromPath[str]) -> FileStream:
    """One result file. `Range`, `If-Range` and `If-None-Match` work; the entity tag is the sha256."""
    services = api_of(request).services
    record, listing = await listing_for(request, job)
    line = listing.by_name.get(name.removeprefix("/"))
    if line is None:
        raise NotFound(f"job {record.job} has no result file {name.removeprefix('/')!r}")
    selection = select(
        etag(line.sha256),
        line.size,
        wanted=request.headers.get("range"),
        if_range=request.headers.get("if-range"),
        if_none_match=request.headers.get("if-none-match"),
    )
    if isinstance(selection, Beyond):
        raise HTTPException(
            detail=f"the file has {line.size} bytes", status_code=416, headers={"content-range": f"bytes */{line.size}"}
        )
    file = await services.ambient.offload(services.results.open, record, line.name)
    stream = _stream(file, services.ambient.offload, line, selection)
    return stream.of(0, 0) if request.method == "HEAD" else stream


def _stream(file: BinaryIO, offload: Offload, line: FileView, selection: Selection) -> FileStream:
    headers = {
        "accept-ranges": "bytes",
        "cache-control": "private, no-cache",
        "content-disposition": "attachment",
        "etag": etag(line.sha256),
        "x-content-type-options": "nosniff",
    }
    match selection:
        case Part(first, last):
            headers["content-range"] = f"bytes {first}-{last}/{line.size}"
            headers["content-length"] = str(last - first + 1)
            return FileStream(file, offload, 206, headers).of(first, last - first + 1)
        case Unchanged():
            return FileStream(file, offload, 304, headers)
        case _:
            headers["content-length"] = str(line.size)
            return FileStream(file, offload, 200, headers).of(0, line.size)


async def _with_results(request: Caller, job: str) -> JobRecord:
    record = await api_of(request).services.jobs.find(request.auth, job)
    if not record.ended:
        raise Conflict(f"job {record.job} has not ended ({record.state}); follow /v1/jobs/{record.job}/events")
    if record.results is None:
        raise NotFound(f"job {record.job} has no results ({record.state})")
    return record


async def listing_for(request: Caller, job: str) -> tuple[JobRecord, Listing]:
    """A job of the caller's that has ended, and its result files. Raises NotFound, Conflict."""
    api = api_of(request)
    services = api.services
    record = await _with_results(request, job)
    listing = api.listings.get(record.job)
    if listing is None:
        folder = await services.ambient.offload(services.results.folder, record)
        signed = await services.jobs.receipt(request.auth, record.job)
        assert record.results is not None
        listing = await services.ambient.offload(listing_of, signed, folder, record.results.hash)
        api.listings.put(record.job, listing)
    return record, listing
