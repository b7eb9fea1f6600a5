"""What comes in of a job's results: shard by shard into one folder, within what one receipt may name.

Does not live here: asking for them and checking them (``node.requester.handover``), the folder itself
(``node.vault.results``).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from node import limits
from node.errors import BadResult, NoRoom
from node.journal.records import JobRecord
from node.model import PeerId
from node.receipt.files import whole_manifest
from node.receipt.layout import PER_SHARD, folder_of
from node.vault.results import Intake
from node.verifier.manifest import PREFIX, Line, Manifest, name_problem

_SHARED = frozenset({PREFIX, f"{PREFIX}/{PER_SHARD}"})  # Folders that are there once for all shards.


@dataclass(frozen=True, slots=True)
class Weight:
    """What a shard's files take of the limits that all files of a receipt share."""

    files: int = 0
    folders: int = 0  # its own
    manifest_bytes: int = 0


@dataclass(slots=True, eq=False)
class Collected:
    """What is kept of one job, and the place for it."""

    record: JobRecord
    intake: Intake | None  # None: what won is published, and none of it is kept here
    bytes: int = 0  # of the shards that are kept
    manifests: dict[int, Manifest] = field(default_factory=dict)  # the same
    _weights: dict[int, Weight] = field(default_factory=dict)
    _total: Weight = Weight(folders=len(_SHARED))

    def incoming(self, shard: int) -> Incoming:
        """The results of one of its shards."""
        return Incoming(self, shard, folder_of(shard, self.record.shards))

    def make_room(self, shard: int, weight: Weight) -> None:
        """Count a shard's files. Raises NoRoom when a receipt cannot name them beside those that are here."""
        total = self._sum(weight, 1)
        if (
            total.files > limits.RESULT_FILES_MAX
            or total.folders > limits.RESULT_FILES_MAX
            or total.manifest_bytes > limits.MANIFEST_BYTES_MAX
        ):
            raise NoRoom(
                f"the results of all shards together may have {limits.RESULT_FILES_MAX} files and as many folders,"
                f" and names of {limits.MANIFEST_BYTES_MAX} bytes"
            )
        self._weights[shard], self._total = weight, total

    def give_back(self, shard: int) -> None:
        """Nothing of this shard will be kept."""
        self._total = self._sum(self._weights.pop(shard, Weight()), -1)

    def keep(self, incoming: Incoming) -> None:
        """A shard is whole."""
        assert incoming.manifest is not None
        self.manifests[incoming.shard] = incoming.manifest
        self.bytes += sum(incoming.sizes)

    def manifest(self) -> Manifest:
        """Everything that is kept, by its names in the vault. It may be long: not for the reader's task."""
        return whole_manifest(self.manifests, self.record.shards)

    def _sum(self, weight: Weight, sign: int) -> Weight:
        return Weight(
            self._total.files + sign * weight.files,
            self._total.folders + sign * weight.folders,
            self._total.manifest_bytes + sign * weight.manifest_bytes,
        )


@dataclass(slots=True, eq=False)
class Incoming:
    """The results of one shard on their way in; survives from one winner to the next."""

    collected: Collected
    shard: int
    part: str  # in front of its names in the vault
    by: float | None = None  # trio's clock: when all its winners together must have handed over
    manifest: Manifest | None = None
    sizes: tuple[int, ...] = ()
    source: PeerId | None = None  # who sent the beginning of the next file
    whole: int = 0  # files, in manifest order, that are here and checked
    offset: int = 0  # bytes of the next file that are here
    digest: hashlib._Hash = field(default_factory=hashlib.sha256)

    @property
    def intake(self) -> Intake:
        """Where its files go."""
        assert self.collected.intake is not None
        return self.collected.intake

    @property
    def record(self) -> JobRecord:
        """Whose shard it is."""
        return self.collected.record

    @property
    def line(self) -> Line:
        """Of the current file, which is the first that is not whole."""
        assert self.manifest is not None
        return self.manifest.lines[self.whole]

    @property
    def missing(self) -> int:
        """Bytes of the current file."""
        return self.sizes[self.whole] - self.offset

    def end_of_blob(self) -> int:
        """Behind the last of the files, from the current one on, that one blob is to bring."""
        end, left = self.whole + 1, limits.BLOB_FILES_BYTES - self.sizes[self.whole]
        for size in self.sizes[end : self.whole + limits.BLOB_FILES_MAX]:
            left -= size
            if left < 0:
                break
            end += 1
        return end

    def received(self, since: int) -> int:
        """Bytes behind the first ``since`` files."""
        return sum(self.sizes[since : self.whole]) + self.offset

    def name(self, line: Line) -> str:
        """A file's name in the vault."""
        return self.part + line.path

    def go_on_with(self, manifest: Manifest, sizes: tuple[int, ...]) -> None:
        """Another winner's list of the same names. Raises BadResult when it tells other sizes of files that are here.

        Streams that were not voted on may be others there: from the first such file on, all are fetched again.
        """
        before = () if self.manifest is None else self.manifest.lines[: self.whole]
        pairs = zip(before, manifest.lines, strict=False)
        same = next((index for index, (here, there) in enumerate(pairs) if here != there), len(before))
        if sizes[:same] != self.sizes[:same]:
            raise BadResult("its sizes are not those of the files that won")
        if same < self.whole:
            self.whole = same
            self.restart_file()

    def next_file(self) -> None:
        """The current file is whole."""
        self.whole += 1
        self.restart_file()

    def restart_file(self) -> None:
        """The current file begins anew."""
        self.offset, self.digest = 0, hashlib.sha256()


def weighed(manifest: Manifest, part: str) -> Weight:
    """What these files take when they are filed below ``part``. Raises NoRoom for names that are too long there.

    A job of one shard has all limits for itself, and they were checked when its manifest was parsed.
    """
    if not part:
        return Weight()
    folders = set(_SHARED)
    size = 0
    for line in manifest.lines:
        name = f"{PREFIX}/{part}{line.path}"
        problem = name_problem(name)
        if problem is not None:
            raise NoRoom(f"a result file cannot be filed below {part}: {problem}")
        size += len(line.sha256) + len(name.encode()) + 3
        above = name.rpartition("/")[0]
        while above not in folders:
            folders.add(above)
            above = above.rpartition("/")[0]
    return Weight(len(manifest.lines), len(folders - _SHARED), size)
