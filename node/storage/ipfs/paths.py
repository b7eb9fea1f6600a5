"""What users write: a CID, and a path below it (``bafy…/data/part-1.csv``)."""

from __future__ import annotations

from node.storage.ipfs import unixfs
from node.storage.ipfs.cid import Cid

_HEADS = ("/ipfs/", "ipfs://")


def parse_path(text: str) -> tuple[Cid, tuple[str, ...]]:
    """The CID and the names below it; ``/ipfs/`` or ``ipfs://`` before it is read too. Raises ValueError."""
    for head in _HEADS:
        text = text.removeprefix(head)
    cid, *names = text.removesuffix("/").split("/")
    for name in names:
        _check(text, name)
    return Cid.parse(cid), tuple(names)


def _check(text: str, name: str) -> None:
    try:
        unixfs.check_name(name)
    except ValueError as error:
        raise ValueError(f"{text!r} is no path below a CID: it has {error}") from error
