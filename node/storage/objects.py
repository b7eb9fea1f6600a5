"""The one door of the node to obstore: S3 and Azure as a few blocking calls, each with an end, each with clear reasons.

Credentials, region and endpoint are the node's own: from its environment, AWS_* and AZURE_*, as obstore reads it. What
a store answers is never shown as it is, since it can hold signatures and keys: a status and an error code at most.
Does not live here: threads and deadlines (``node.storage.object_store``), which names may be asked for.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import IO, Any

import obstore
from obstore.exceptions import BaseError, NotFoundError, PreconditionError
from obstore.store import AzureStore, S3Store

from node import limits
from node.errors import StorageError
from node.storage.object_names import ObjectName, Stored

_PARTS_MAX = 9_000  # S3 takes 10,000.
_PART_BYTES = 8 * limits.MiB
_PARTS_AT_ONCE = 2

_ABSENT = (FileNotFoundError, NotFoundError)
_STATUS = re.compile(r"status code: ([1-5][0-9][0-9])")
_CODE = re.compile(r"<Code>([A-Za-z]{1,64})</Code>")
_NO_PATH = re.compile(r"rror parsing Path|empty path segment")
_DENIED = (
    "refused: check the credentials in the environment of the node (AWS_*, AZURE_*) and what they are allowed to do"
)
_WORDS = {
    "400": "refused as malformed: check region and credentials in the environment of the node",
    "401": _DENIED,
    "403": _DENIED,
    "404": "not there: check the name of the bucket or container",
    "412": "no longer the same: the source changed while it was read",
}
_CLIENT: dict[str, Any] = {
    "timeout": timedelta(seconds=limits.OBJECT_REQUEST_S),
    "connect_timeout": timedelta(seconds=limits.FETCH_CONNECT_S),
    "user_agent": "quorate",
}
_RETRIES: Any = {"max_retries": 3, "retry_timeout": timedelta(seconds=limits.OBJECT_REQUEST_S)}

Store = S3Store | AzureStore


class Objects:
    """Objects by name. Every call blocks, for no longer than its requests take, and raises StorageError."""

    def __init__(self) -> None:
        self._stores: dict[tuple[str, str], Store] = {}

    def head(self, name: ObjectName) -> Stored | None:
        """The object of exactly this name, if there is one."""
        with _reasons(name):
            try:
                return _stored(obstore.head(self._store(name), name.key))
            except _ABSENT:
                return None

    def below(self, name: ObjectName, most: int) -> list[Stored]:
        """Objects in a folder and in all its folders, in no order; one more than ``most`` if there are so many."""
        found: list[Stored] = []
        with _reasons(name):
            for page in obstore.list(self._store(name), prefix=name.key or None):
                found += map(_stored, page)
                if len(found) > most:
                    break
        return found[: most + 1]

    def piece(self, name: ObjectName, stored: Stored, start: int, end: int) -> bytes:
        """Bytes of this version of an object; at least one. Another version is an error."""
        with _reasons(name):
            options: Any = {"range": (start, end), "if_match": stored.etag}
            try:
                got = bytes(obstore.get(self._store(name), stored.key, options=options).bytes())
            except (*_ABSENT, PreconditionError) as error:
                raise StorageError(
                    f"the source changed: {stored.key} of {name.url} is no longer what it was"
                ) from error
        if len(got) != end - start:
            raise StorageError(f"{stored.key} of {name.url} was cut short")
        return got

    def put(self, name: ObjectName, file: IO[bytes], size: int, going_on: Callable[[], None]) -> None:
        """Write an object, in place of one that is there; whole or not at all. ``going_on`` may raise to end it."""
        part_bytes = max(_PART_BYTES, -(-size // _PARTS_MAX))
        with _reasons(name):
            obstore.put(
                self._store(name),
                name.key,
                _parts(file, size, part_bytes, going_on),
                use_multipart=size > part_bytes,
                chunk_size=part_bytes,
                max_concurrency=_PARTS_AT_ONCE,
            )

    def delete(self, name: ObjectName, keys: Sequence[str]) -> None:
        """Delete objects of the bucket or container of ``name``; one that is not there is no error."""
        with _reasons(name), suppress(*_ABSENT):
            obstore.delete(self._store(name), keys)

    def _store(self, name: ObjectName) -> Store:
        key = name.scheme, name.bucket
        if key not in self._stores:
            self._stores[key] = _made(name)
        return self._stores[key]


def _made(name: ObjectName) -> Store:
    """Options of the client replace all that the environment says of it, so that one has to be read here."""
    make, prefix = (S3Store, "AWS") if name.scheme == "s3" else (AzureStore, "AZURE")
    allow_http = os.environ.get(f"{prefix}_ALLOW_HTTP", "").lower() in ("1", "true")
    options: Any = _CLIENT | {"allow_http": allow_http}
    return make(name.bucket, client_options=options, retry_config=_RETRIES)


def _stored(meta: Any) -> Stored:
    if meta["e_tag"] is None:
        raise StorageError("the store gives no ETags, so that nobody could see an object change")
    return Stored(meta["path"], meta["size"], meta["e_tag"])


def _parts(file: IO[bytes], size: int, part_bytes: int, going_on: Callable[[], None]) -> Iterator[bytes]:
    """The first ``size`` bytes: a file that grows must not fill the memory."""
    while part := file.read(min(part_bytes, size)):
        size -= len(part)
        going_on()
        yield part


@contextmanager
def _reasons(name: ObjectName) -> Iterator[None]:
    """What obstore raises, as a StorageError that holds no secret, nor has a cause that would show one in a log."""
    try:
        yield
    except (BaseError, ValueError, OSError) as error:
        raise StorageError(f"{name.url}: {_words(str(error))}") from None


def _words(text: str) -> str:
    if _NO_PATH.search(text):
        return "there is an object whose name cannot be a path: an empty part, `.`, `..` or control characters"
    status, code = _STATUS.search(text), _CODE.search(text)
    if status is None:
        return "the store cannot be reached, or does not answer in time (its address: AWS_ENDPOINT_URL, AZURE_…)"
    said = status[1] + (f", {code[1]}" if code else "")
    return f"{_WORDS.get(status[1], 'the store cannot serve it')} ({said})"
