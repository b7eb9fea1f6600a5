"""What a requester may read of its executions: what they write, as they run; the list of files once one has proposed;
the files once it has won.

Does not live here: whose executions they are (``node.compute.role``), what modules and inline files are asked of
requesters (``node.requester.role``).
"""

from __future__ import annotations

from node import limits
from node.compute.kept import Kept
from node.compute.logs import piece_in, piece_of
from node.compute.run import Bench, Execution
from node.errors import BlobRefused
from node.messages import FilesWanted, ListWanted, LogPiece, LogsWanted, ManifestWanted, encode
from node.model import ExecutionId
from node.transport.base import Blob
from node.transport.files import bytes_blob, file_blob, files_blob

Wanted = LogsWanted | ListWanted | ManifestWanted | FilesWanted


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
    return await _files_blob(bench, given.execution, given.results, request)


async def _files_blob(bench: Bench, execution: ExecutionId, results: Kept, wanted: FilesWanted) -> Blob:
    index, count, offset = wanted.index, wanted.count, wanted.offset
    if not 1 <= count <= limits.BLOB_FILES_MAX:
        raise BlobRefused(f"from 1 to {limits.BLOB_FILES_MAX} files are sent at once, and not {count}")
    files = await bench.ambient.offload(results.files, index, count)
    if offset > files[0][1]:
        raise BlobRefused(f"the file ends at {files[0][1]}, before {offset}")
    if results.is_on_disk:
        return await files_blob(bench.folder(execution), files, offset, bench.ambient.offload)
    contents = (results.handed_over.files or ())[index : index + count]
    return bytes_blob(memoryview(b"".join(contents))[offset:])


async def _log_piece(bench: Bench, given: Execution, wanted: LogsWanted) -> LogPiece:
    if given.results is not None and not given.results.is_on_disk:
        return piece_in(given.results, wanted)
    return await bench.ambient.offload(piece_of, bench.folder(given.execution), wanted)


async def _list_blob(bench: Bench, results: Kept) -> Blob:
    if isinstance(results.listed, bytes):
        return bytes_blob(results.listed)
    return await file_blob(results.listed, 0, bench.ambient.offload)
