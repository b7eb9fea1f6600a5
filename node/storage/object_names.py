"""Names in object stores as jobs, operators and stores give them, and the tree that a listing is. Pure.

A URL is literal: nothing in it is percent-decoded. ``s3://bucket/a/b`` is the object ``a/b`` if there is one, else the
folder of all objects below ``a/b/``; with a slash at its end it is the folder. ``s3://bucket`` is everything.
Does not live here: who talks to stores (``node.storage.objects``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from node import limits
from node.errors import OperatorError, StorageError
from node.model import cut
from node.storage.base import Entry, entries_of, folders_above

_URL = re.compile(r"(s3|az)://([A-Za-z0-9][A-Za-z0-9._-]{0,254})(?:/(.*))?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class ObjectName:
    """A place in a store."""

    scheme: str  # "s3" or "az"
    bucket: str  # a container, for Azure
    key: str  # without slashes at its ends; "" is everything
    is_folder: bool  # said to be one

    @property
    def url(self) -> str:
        """Without a slash at its end."""
        return f"{self.scheme}://{self.bucket}/{self.key}".rstrip("/")

    def lies_in(self, other: ObjectName) -> bool:
        """Whether it is ``other`` or below it; ``database`` is not below ``data``."""
        below = not other.key or self.key == other.key or self.key.startswith(f"{other.key}/")
        return (self.scheme, self.bucket) == (other.scheme, other.bucket) and below


@dataclass(frozen=True, slots=True)
class Stored:
    """One version of one object."""

    key: str
    size: int  # bytes
    etag: str


@dataclass(frozen=True, slots=True)
class Listing:
    """What a name stands for at one moment: one object, or the objects of a folder by their paths in it."""

    name: ObjectName
    objects: tuple[tuple[str, Stored], ...]  # sorted by path; one object has the path ""

    @property
    def size(self) -> int:
        """Bytes of all objects."""
        return sum(stored.size for _, stored in self.objects)

    @property
    def is_object(self) -> bool:
        """Whether it is one object, and no folder."""
        return len(self.objects) == 1 and not self.objects[0][0]

    @property
    def folders(self) -> tuple[str, ...]:
        """Every folder by its path, each after the one that it is in; the root, ``""``, is not among them."""
        return tuple(sorted(folders_above(path for path, _ in self.objects)))

    @property
    def entries(self) -> tuple[Entry, ...]:
        """As ``Storage.list`` has them."""
        if self.is_object:
            return (Entry("", self.size, is_folder=False),)
        return entries_of({path: stored.size for path, stored in self.objects})


def parsed(url: str) -> ObjectName:
    """Raises StorageError."""
    match = _URL.fullmatch(url)
    if match is None:
        raise StorageError(
            f"{cut(url)!r} is no object store's URL; expected s3://BUCKET/PREFIX or az://CONTAINER/PREFIX"
        )
    key = match[3] or ""
    if key:
        _need_harmless(key.removesuffix("/"), f"{cut(url)!r}")
    return ObjectName(match[1], match[2], key.removesuffix("/"), is_folder=not key or key.endswith("/"))


def listed_by_operator(urls: Iterable[str], flag: str) -> tuple[ObjectName, ...]:
    """What ``--object-store``, or another such flag, says. Raises OperatorError."""
    try:
        return tuple(parsed(url) for url in urls)
    except StorageError as error:
        raise OperatorError(f"{flag}: {error}") from error


def one(name: ObjectName, stored: Stored) -> Listing:
    """The listing of a name that is one object."""
    return Listing(name, (("", stored),))


def folder(name: ObjectName, found: Sequence[Stored]) -> Listing:
    """The listing of a name that is a folder. Raises StorageError for objects that cannot lie in one tree.

    Consoles make an empty object for a folder, whose key is that of the folder: it stands for nothing more. One below
    which nothing lies cannot be told from an empty file, and is shown as that.
    """
    prefix = f"{name.key}/" if name.key else ""
    stray = next((stored.key for stored in found if not f"{stored.key}/".startswith(prefix)), None)
    if stray is not None:
        raise StorageError(f"the store lists {cut(stray)!r}, which lies outside {name.url}")
    by_path = {stored.key.removeprefix(prefix): stored for stored in found if stored.key != name.key}
    for path, stored in by_path.items():
        _need_harmless(path, f"the object {cut(stored.key)!r} below {name.url}")
    listing = Listing(name, tuple(sorted(by_path.items())))
    folders = set(listing.folders)
    both = next((path for path in folders if path in by_path and by_path[path].size), None)
    if both is not None:
        raise StorageError(f"{cut(both)!r} below {name.url} is an object and a folder at once; rename one of them")
    return Listing(name, tuple((path, stored) for path, stored in listing.objects if path not in folders))


def _need_harmless(path: str, what: str) -> None:
    parts = path.split("/")
    if not {"", ".", ".."}.isdisjoint(parts) or any(not part.isprintable() for part in parts):
        raise StorageError(f"{what} cannot be a path: it has an empty part, `.`, `..` or control characters")
    too_long = max(len(part.encode()) for part in parts) > limits.RESULT_PART_BYTES_MAX
    if too_long or len(parts) > limits.INPUT_DEPTH_MAX:
        raise StorageError(f"{what} cannot be a path: a part is too long, or there are too many")
