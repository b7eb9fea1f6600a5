"""What a requester may read of its executions: what they write, as they run; the list of files once one has proposed;
the files once it has won.

Does not live here: whose executions they are (``node.compute.role``), what modules and inline files are asked of
requesters (``node.requester.role``).
"""

from __future__ import annotations

from node.compute.kept import Kept
from node.compute.logs import piece_in, piece_of
from node.compute.run import Bench, Execution
from node.errors import BlobRefused
from node.messages import FileWanted, ListWanted, LogPiece, LogsWanted, ManifestWanted, encode
from node.transport.base import Blob
from node.transport.files import bytes_blob, file_blob

Wanted = LogsWanted | ListWanted | ManifestWanted | FileWanted


async def blob_of(bench: Bench, given: Execution | None, request: Wanted) -> Blob:
    """The answer to who ordered ``given``. Raises BlobRefused."""
    if isinstance(request, LogsWanted):
        if given is None:
            raise BlobRefused("no execution of yours is here")
        return bytes_blob(encode(await _log_piece(bench, given, request)))
    if isinstance(request, ListWanted):
        if given is None or given.results is None:
            raise BlobRefused("no execution of yours that has proposed is here")
        return await _list_blob(bench, given.results)
    if given is None or given.state != "won" or given.results is None:
        raise BlobRefused("no result of yours that has won is here")
    if isinstance(request, ManifestWanted):
        return await _list_blob(bench, given.results)
    name = await bench.ambient.offload(given.results.name, request.index)
    if not given.results.is_on_disk:
        return _rest(given.results.content(name), request.offset)
    return await file_blob(bench.folder(given.execution) / name, request.offset, bench.ambient.offload)


def _rest(content: bytes, offset: int) -> Blob:
    if offset > len(content):
        raise BlobRefused(f"the file ends at {len(content)}, before {offset}")
    return bytes_blob(memoryview(content)[offset:])


async def _log_piece(bench: Bench, given: Execution, wanted: LogsWanted) -> LogPiece:
    if given.results is not None and not given.results.is_on_disk:
        return piece_in(given.results, wanted)
    return await bench.ambient.offload(piece_of, bench.folder(given.execution), wanted)


async def _list_blob(bench: Bench, results: Kept) -> Blob:
    if isinstance(results.listed, bytes):
        return bytes_blob(results.listed)
    return await file_blob(results.listed, 0, bench.ambient.offload)
