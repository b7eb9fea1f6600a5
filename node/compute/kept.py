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
    starts: array[int]  # where each line of it begins, and where the last one ends

    def content(self, name: str) -> bytes:
        """Of a file by its path, in a result that is not on disk; nothing for one that it does not have."""
        names = [path for path, _ in self.files(0, len(self.starts) - 1)]
        return dict(zip(names, self.handed_over.files or (), strict=True)).get(name, b"")

    def files(self, index: int, count: int) -> list[tuple[str, int]]:
        """Path, relative to the results, and size of so many files from one on. Blocking, and no longer than they are
        many, wherever they stand in the list. Raises BlobRefused when the list has not so many.
        """
        lines = len(self.starts) - 1
        if index + count > lines:
            raise BlobRefused(f"the manifest has {lines} lines, and not {count} from line {index} on")
        rows = self._read(self.starts[index], self.starts[index + count])
        return [_file(row) for row in rows.split(b"\n")[:-1]]

    def _read(self, begin: int, end: int) -> bytes:
        if isinstance(self.listed, bytes):
            return self.listed[begin:end]
        try:
            with self.listed.open("rb") as file:
                file.seek(begin)
                return file.read(end - begin)
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


def _file(row: bytes) -> tuple[str, int]:
    """Of ``<size> <sha256>  <results>/<path>``."""
    size, _, line = row.partition(b" ")
    return line[66:].partition(b"/")[2].decode(), int(size)
