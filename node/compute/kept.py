"""What a node knows of a result that it keeps until its requester has decided.

A short list of files stays in memory, with the files themselves where they are small, and then nothing lies on disk; a
long one lies on disk beside the results, so that a result of a hundred thousand files costs no more memory than their
positions in that list.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from io import BytesIO
from itertools import accumulate
from pathlib import Path

from node import limits
from node.errors import BlobRefused, ExecutionFailed, NoRoom
from node.messages import Results
from node.model import DirHash, ExecutionId, JobSpec, VaultPublisher
from node.verifier.dirhash import HashedTree
from node.verifier.manifest import render_sized, voted

MANIFEST_INLINE_MAX = limits.FRAME_BYTES_MAX // 4


@dataclass(frozen=True, slots=True)
class Kept:
    """One result. ``hash`` is of what counts in the vote; ``handed_over`` is what a requester is answered for which
    it has won, and where the files are that are not on disk.
    """

    hash: DirHash
    is_on_disk: bool
    disk_bytes: int
    handed_over: Results
    listed: bytes | Path  # the sized manifest, or where it lies
    starts: array[int]  # where each line of it begins

    def content(self, name: str) -> bytes:
        """Of a file by its path, in a result that is not on disk; nothing for one that it does not have."""
        names = map(self.name, range(len(self.starts)))
        return dict(zip(names, self.handed_over.files or (), strict=True)).get(name, b"")

    def name(self, index: int) -> str:
        """The path of a file, relative to the results. Blocking. Raises BlobRefused."""
        if index >= len(self.starts):
            raise BlobRefused(f"the manifest has {len(self.starts)} lines")
        _, _, line = self._line(self.starts[index]).decode().partition(" ")
        return line[66:-1].partition("/")[2]

    def _line(self, start: int) -> bytes:
        if isinstance(self.listed, bytes):
            return self.listed[start : self.listed.index(b"\n", start) + 1]
        try:
            with self.listed.open("rb") as file:
                file.seek(start)
                return file.readline()
        except OSError as error:
            raise BlobRefused("the manifest cannot be read any more") from error


def kept(execution: ExecutionId, tree: HashedTree, spec: JobSpec, beside: Path) -> Kept:
    """What to remember of a tree; ``beside`` is where a long list of its files goes. Blocking.

    What is published is read from the disk. Raises ExecutionFailed for a list that is longer than any requester takes,
    NoRoom.
    """
    manifest, won = tree.manifest.render(), voted(tree.manifest, spec.vote_on).h1()
    sized = render_sized(tree.manifest, tree.sizes)
    starts = array("Q", accumulate(map(len, BytesIO(sized)), initial=0))  # Split at once it would hold up all threads.
    starts.pop()  # The end of the last line.
    if len(manifest) <= MANIFEST_INLINE_MAX and len(tree.sizes) <= limits.INLINE_FILES_MAX:
        answer = Results(execution, manifest, tree.sizes, tree.contents)
        is_on_disk = tree.contents is None or not isinstance(spec.publisher, VaultPublisher)
        return Kept(won, is_on_disk, tree.total_bytes if is_on_disk else 0, answer, sized, starts)
    if len(sized) > limits.MANIFEST_BYTES_MAX:
        raise ExecutionFailed("output", f"the names of its files take {len(sized)} bytes; write fewer, or shorter ones")
    try:
        beside.write_bytes(sized)
    except OSError as error:
        raise NoRoom(f"the list of result files cannot be kept: {error.strerror}") from error
    answer = Results(execution, None, None, None)
    return Kept(won, True, tree.total_bytes + len(sized), answer, beside, starts)
