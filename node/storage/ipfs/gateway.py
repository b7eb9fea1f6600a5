"""A trustless HTTP gateway as a source of blocks (https://specs.ipfs.tech/http-gateways/trustless-gateway/).

Nothing that it sends is believed: blocks are checked like everybody's. Its redirects are refused, so that a gateway
cannot make this node ask somebody else. Does not live here: HTTP (``node.storage.http``), reading a DAG that way
(``car_session``), several gateways (``several``).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import trio

from node import limits
from node.ambient import Offload
from node.errors import OperatorError, StorageError
from node.storage.http import Answer, Http, Session
from node.storage.ipfs.base import BlockSession
from node.storage.ipfs.car import CarReader
from node.storage.ipfs.car_session import Block, Receive, blocks_in, car_session
from node.storage.ipfs.cid import Cid

_RAW = "application/vnd.ipld.raw"
_CAR = "application/vnd.ipld.car"
_CAR_AS_READ = f"{_CAR}; version=1; order=dfs; dups=n"
_PIECE_BYTES = 512 * limits.KiB
_ENDLESS = 1 << 62  # The reader of a CAR stops it: at the size that it expects, or when no block that is due comes.


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds for a whole answer."""

    find_s: float = limits.GATEWAY_FIND_S
    block_s: float = limits.BLOCK_FETCH_S


class Gateway:
    """Blocks over one gateway, read-only. Raises OperatorError for what is no URL of one."""

    name = "gateway"

    def __init__(self, url: str, http: Http, offload: Offload, patience: Patience | None = None) -> None:
        self._base = _checked(url)
        self._patience = patience or Patience()
        self._http = http
        self._offload = offload

    async def has(self, cid: Cid) -> bool:
        """See Blocks."""
        with trio.move_on_after(self._patience.find_s):
            async with self._http.session() as web, self._asked(web, cid, _RAW, limits.BLOCK_BYTES_MAX, "HEAD") as head:
                return head.status == 200
        return False

    @asynccontextmanager
    async def session(self, root: Cid) -> AsyncIterator[BlockSession]:
        """See Blocks."""
        async with self._http.session() as web:
            car, block = partial(self._car, web), partial(self._block, web)
            async with car_session(root, car, block, self._offload) as session:
                yield session

    async def add(self, path: Path, pin: str = "") -> Cid:
        """See Blocks: it cannot be done."""
        raise StorageError(f"the gateway {self._base} takes no data")

    async def unpin(self, pin: str) -> None:
        """See Blocks: there is no pin."""

    @asynccontextmanager
    async def _car(self, web: Session, root: Cid) -> AsyncIterator[Receive]:
        async with self._asked(web, root, _CAR_AS_READ, _ENDLESS) as answer:
            _check(answer, root, _CAR, self._base)
            parse = blocks_in(CarReader())

            async def receive() -> list[Block] | None:
                piece = await _piece(answer)
                return await self._offload(parse, piece) if piece else None

            yield receive

    async def _block(self, web: Session, cid: Cid) -> bytes:
        try:
            with trio.fail_after(self._patience.block_s):
                async with self._asked(web, cid, _RAW, limits.BLOCK_BYTES_MAX) as answer:
                    _check(answer, cid, _RAW, self._base)
                    return await answer.whole()
        except trio.TooSlowError as error:
            raise StorageError(f"{self._base} does not give {cid} within {self._patience.block_s:g} s") from error

    @asynccontextmanager
    async def _asked(
        self, web: Session, cid: Cid, kind: str, bytes_max: int, method: Literal["GET", "HEAD"] = "GET"
    ) -> AsyncIterator[Answer]:
        """In words that a gateway understands which does not read the Accept header, too."""
        form = "raw" if kind == _RAW else "car&dag-scope=all&car-version=1&car-order=dfs&car-dups=n"
        url = f"{self._base}/ipfs/{cid}?format={form}"
        async with web.get(url, bytes_max=bytes_max, headers={"accept": kind}, method=method) as answer:
            yield answer


async def _piece(answer: Answer) -> bytes:
    """Small pieces put together, because each is handed to a thread."""
    pieces: list[bytes] = []
    size = 0
    while size < _PIECE_BYTES and (piece := await anext(answer, b"")):
        pieces.append(piece)
        size += len(piece)
    return b"".join(pieces)


def _check(answer: Answer, cid: Cid, kind: str, base: str) -> None:
    if answer.status in range(300, 400):
        raise StorageError(f"{base} redirects to {answer.headers.get('location')!r}, which is not followed")
    if answer.status != 200:
        raise StorageError(f"{base} answers {answer.status} for {cid}")
    if answer.headers.get("content-type", "").partition(";")[0].strip().lower() != kind:
        raise StorageError(f"{base} is no trustless gateway: it sends {answer.headers.get('content-type')!r}")


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url)
        is_right = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        is_right = False
    if not is_right or "?" in url or "#" in url:
        raise OperatorError(f"--ipfs-gateway {url!r}: expected a URL like https://trustless-gateway.link")
    return url.rstrip("/").removesuffix("/ipfs")
