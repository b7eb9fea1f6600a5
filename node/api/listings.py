"""Which files a job's results have: names and hashes from its signed receipt, sizes from the disk.

The receipt and not the disk says what the hashes are: it holds what won the vote, so a file that has rotted since does
not hash to what the owner was told. Lives here: building and remembering such lists. Does not live here: HTTP.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from node import limits
from node.api.views import FileView, ManifestView
from node.errors import StorageError
from node.json_lists import filled, from_base64
from node.model import Hex64, JobId

_ENCODER = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class Listing:
    """The files of one job."""

    view: ManifestView
    by_name: Mapping[str, FileView]

    def rendered(self) -> bytes:
        """The view as JSON. Blocking, for a long one."""
        return filled(_ENCODER.encode(msgspec.structs.replace(self.view, files=())), self.view.files, _ENCODER)


class Listings:
    """Remembers the lists asked for last, up to ``limits.LISTINGS_CACHED_FILES`` files in all."""

    def __init__(self) -> None:
        self._kept: OrderedDict[JobId, Listing] = OrderedDict()
        self._files = 0

    def get(self, job: JobId) -> Listing | None:
        """A list that was put here."""
        listing = self._kept.get(job)
        if listing is not None:
            self._kept.move_to_end(job)
        return listing

    def put(self, job: JobId, listing: Listing) -> None:
        """Remember; the newest list is kept however long it is."""
        self.forget(job)
        self._kept[job] = listing
        self._files += len(listing.by_name)
        while self._files > limits.LISTINGS_CACHED_FILES and len(self._kept) > 1:
            self.forget(next(iter(self._kept)))

    def forget(self, job: JobId) -> None:
        """The results are gone."""
        listing = self._kept.pop(job, None)
        if listing is not None:
            self._files -= len(listing.by_name)


class _Digest(msgspec.Struct, frozen=True, gc=False):
    sha256: Hex64


class _Annotations(msgspec.Struct, frozen=True, gc=False):
    voted: bool = True


class _Subject(msgspec.Struct, frozen=True, gc=False):
    name: str
    digest: _Digest
    annotations: _Annotations = _Annotations()


_SUBJECTS = msgspec.json.Decoder(_Subject)


class _Statement(msgspec.Struct, frozen=True, gc=False):
    subject: tuple[msgspec.Raw, ...]  # Each read by itself: all at once would keep other threads out.


class _Envelope(msgspec.Struct, frozen=True):
    payload: msgspec.Raw  # base64 in JSON


def listing_of(receipt: bytes, folder: Path, h1: str) -> Listing:
    """Blocking: the list of a job whose results lie in ``folder``. Raises StorageError."""
    try:
        envelope = msgspec.json.decode(receipt, type=_Envelope)
        payload = from_base64(memoryview(envelope.payload)[1:-1])
        subjects = [_SUBJECTS.decode(raw) for raw in msgspec.json.decode(payload, type=_Statement).subject]
        sizes = [os.lstat(f"{folder}/{subject.name}").st_size for subject in subjects]
    except ValueError as error:  # Of msgspec, which also says so when it is no JSON, or of the base64.
        raise StorageError("the receipt of this job cannot be read") from error
    except OSError as error:
        raise StorageError("a result file of this job is missing on the node's disk") from error
    files = tuple(
        FileView(name=subject.name, size=size, sha256=subject.digest.sha256, voted=subject.annotations.voted)
        for subject, size in zip(subjects, sizes, strict=True)
    )
    return Listing(ManifestView(hash=h1, files=files), {file.name: file for file in files})
