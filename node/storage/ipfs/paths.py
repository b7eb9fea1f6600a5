"""What users write: a CID, and a path below it (``bafy…/data/part-1.csv``); unsealed copies go by other names, too."""

from __future__ import annotations

from node.errors import StorageError
from node.model import CidInput
from node.storage.ipfs import unixfs
from node.storage.ipfs.cid import Cid

_HEADS = ("/ipfs/", "ipfs://")


def parse_path(text: str) -> tuple[Cid, tuple[str, ...]]:
    """The CID and the names below it; ``/ipfs/`` or ``ipfs://`` before it is read too. Raises ValueError."""
    name, below = split_path(text)
    return Cid.parse(name), below


def path_in(ref: CidInput) -> tuple[Cid, tuple[str, ...]]:
    """The same of what a job names. Raises StorageError."""
    try:
        return parse_path(ref.cid)
    except ValueError as error:
        raise StorageError(str(error)) from error


def split_path(text: str) -> tuple[str, tuple[str, ...]]:
    """The same of what need be no CID before its first slash: that, and the names below. Raises ValueError."""
    for head in _HEADS:
        text = text.removeprefix(head)
    first, *names = text.removesuffix("/").split("/")
    for name in names:
        _check(text, name)
    return first, tuple(names)


def _check(text: str, name: str) -> None:
    try:
        unixfs.check_name(name)
    except ValueError as error:
        raise ValueError(f"{text!r} is no path below a CID: it has {error}") from error
