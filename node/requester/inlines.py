"""Contents of inline files of jobs under way, and which nodes may have them.

They are kept in memory with their job and nowhere else: offers, the journal and receipts name them by size and hash.
"""

from __future__ import annotations

from collections.abc import Iterable

from node.errors import BlobRefused
from node.messages import InlineWanted
from node.model import Sha256
from node.requester.live import LiveJob
from node.transport.base import Blob
from node.transport.files import bytes_blob


def inline_blob(jobs: Iterable[LiveJob], request: InlineWanted) -> Blob:
    """A content that one of ``jobs``, those that the asking peer runs, has. Raises BlobRefused."""
    wanted = Sha256(request.sha256)
    content = next((live.contents[wanted] for live in jobs if wanted in live.contents), None)
    if content is None:
        raise BlobRefused("no job that you run here has this file")
    if request.offset > len(content):
        raise BlobRefused(f"the file ends at {len(content)}, before {request.offset}")
    return bytes_blob(memoryview(content)[request.offset :])
