"""Trustless gateways: a real one, and those that lie, stall, redirect or break off. None gives wrong data."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import trio
from doubles.fetching import fetched, tree_of
from doubles.kubo import Kubo as Daemon
from doubles.trees import FOLDERS, planted
from doubles.webanswers import Talk, Web, breaks_off, endless, hangs_up, mute, redirects, says, stalls, web_server

from node.ambient import Threads
from node.errors import OperatorError, StorageError
from node.limits import MiB
from node.storage.http import Deadlines, Http
from node.storage.ipfs.car import CarReader, header, section
from node.storage.ipfs.cid import RAW, Cid
from node.storage.ipfs.gateway import Gateway, Patience
from node.storage.ipfs.layout import V1_2025
from node.storage.ipfs.packing import pack

CAR, BLOCK = "application/vnd.ipld.car", "application/vnd.ipld.raw"
QUICK = Patience(find_s=0.5, block_s=0.5)
CONTENT = os.urandom(5 * MiB)


def gateway(url: str) -> Gateway:
    return Gateway(url, Http(Deadlines(connect_s=5, answer_s=0.4, stall_s=0.4)), Threads(), QUICK)


@pytest.fixture
def content(tmp_path: Path) -> Path:
    (tmp_path / "file").write_bytes(CONTENT)
    return tmp_path / "file"


@pytest.fixture
def car(content: Path) -> tuple[Cid, bytes, dict[str, bytes]]:
    """Of the file: its root, all of it, and each block by its path."""
    parts: list[bytes] = []
    root = pack(content, V1_2025, parts.append)
    whole = b"".join(parts)
    chunks = [CONTENT[at : at + MiB] for at in range(0, len(CONTENT), MiB)]
    blocks = {f"/ipfs/{Cid.of(chunk, RAW)}": chunk for chunk in chunks}
    first, node = next(CarReader().feed(whole))
    assert first == root
    return root, whole, blocks | {f"/ipfs/{root}": node}


def serves(
    car: tuple[Cid, bytes, dict[str, bytes]],
    of_car: Callable[[Talk], None] | None = None,
    of_blocks: dict[str, Callable[[Talk], None]] | None = None,
) -> dict[str, Callable[[Talk], None]]:
    """An honest gateway, except for what is told otherwise."""
    root, whole, blocks = car

    def of(path: str) -> Callable[[Talk], None]:
        block = (of_blocks or {}).get(path) or says(blocks[path], content_type=BLOCK)
        dag = (of_car or says(whole, content_type=CAR)) if path == f"/ipfs/{root}" else says(b"", 404)
        return lambda talk: (dag if "format=car" in talk.path else block)(talk)

    return {path: of(path) for path in blocks}


def cars_asked(web: Web) -> int:
    return sum("format=car" in request.target for request in web.asked)


@pytest.mark.parametrize(
    ("shape", "flags"),
    [("nested", ()), ("nested", ("--cid-version=1", "--chunker=size-1048576")), ("sharded", ("--cid-version=1",))],
)
def test_files_and_folders_come_from_the_gateway_of_a_real_daemon(
    quiet_kubo: Daemon, tmp_path: Path, shape: str, flags: tuple[str, ...]
) -> None:
    planted(tmp_path / "in", FOLDERS[shape]() | {"same": CONTENT, "the same": CONTENT})
    source = Gateway(quiet_kubo.gateway_url, Http(), Threads())
    cid = Cid.parse(quiet_kubo.add(tmp_path / "in", "--hidden", *flags))
    assert trio.run(source.has, cid)
    assert tree_of(fetched(source, cid, tmp_path / "out")) == tree_of(tmp_path / "in")


def test_one_stream_is_asked_for_and_no_block_alone_but_the_root(car, tmp_path: Path) -> None:
    with web_server(serves(car)) as web:
        assert fetched(gateway(web.url("/")), car[0], tmp_path / "out").read_bytes() == CONTENT
        assert [request.headers["accept"] for request in web.asked] == [BLOCK, f"{CAR}; version=1; order=dfs; dups=n"]
        assert "format=car&dag-scope=all&car-version=1&car-order=dfs&car-dups=n" in web.asked[1].target


MISBEHAVIOURS = {
    "breaks off": lambda whole: breaks_off(whole, len(whole) // 2, content_type=CAR),
    "ends early": lambda whole: says(whole[: len(whole) // 2], content_type=CAR),
    "ends early between blocks": lambda whole: says(whole[: -MiB // 2], content_type=CAR),
    "stalls": lambda whole: stalls(whole, len(whole) // 2, content_type=CAR),
    "wrong bytes": lambda whole: says(whole[: 3 * MiB] + b"\0" + whole[3 * MiB + 1 :], content_type=CAR),
    "no CAR": lambda whole: says(os.urandom(MiB), content_type=CAR),
    "another type": lambda whole: says(b"<html>", content_type="text/html"),
    "an error": lambda whole: says(b"busy", 503),
    "only raw blocks": lambda whole: says(b"not acceptable", 406),
    "endless zeros": lambda whole: endless(bytes(MiB), content_type=CAR),
    "endless blocks": lambda whole: endless(section(Cid.of(b"x" * MiB, RAW), b"x" * MiB), content_type=CAR),
    "another DAG": lambda whole: says(header([]) + section(Cid.of(b"x", RAW), b"x"), content_type=CAR),
    "mute": lambda whole: mute,
    "hangs up": lambda whole: hangs_up,
    "redirects": lambda whole: redirects("http://127.0.0.1:1/"),
}


@pytest.mark.parametrize("how", MISBEHAVIOURS)
def test_a_stream_that_misbehaves_is_replaced_by_single_blocks(car, tmp_path: Path, how: str) -> None:
    with web_server(serves(car, MISBEHAVIOURS[how](car[1]))) as web:
        assert fetched(gateway(web.url("/")), car[0], tmp_path / "out").read_bytes() == CONTENT
        assert cars_asked(web) == 1


@pytest.mark.parametrize(
    ("misbehaves", "reason"),
    [
        (says(b"other bytes", content_type=BLOCK), "is something else"),
        (says(bytes(3 * MiB), content_type=BLOCK), "sends more than the 2097152 bytes"),
        (endless(bytes(MiB), content_type=BLOCK), "sends more than the 2097152 bytes"),
        (says(b"<html>", content_type="text/html"), "is no trustless gateway: it sends 'text/html'"),
        (says(b"no", 404), "answers 404 for"),
        (says(b"no", 502), "answers 502 for"),
        (redirects("http://127.0.0.1:1/secret"), "redirects to 'http://127.0.0.1:1/secret', which is not followed"),
        (breaks_off(CONTENT[:MiB], 999, content_type=BLOCK), "broke off"),
        (stalls(CONTENT[:MiB], 999, content_type=BLOCK), "sent nothing for|does not give"),
        (mute, "does not answer within|does not give"),
        (hangs_up, "broke off"),
    ],
    ids=["wrong", "too long", "endless", "html", "404", "502", "redirect", "broken off", "slow", "mute", "hangs up"],
)
def test_a_block_that_is_not_had_is_a_reason(car, tmp_path: Path, misbehaves, reason: str) -> None:
    lost = f"/ipfs/{Cid.of(CONTENT[2 * MiB : 3 * MiB], RAW)}"
    answers = serves(car, hangs_up, {lost: misbehaves})
    with web_server(answers) as web, pytest.raises(StorageError, match=reason):
        fetched(gateway(web.url("/")), car[0], tmp_path / "out")


def test_drops_of_a_block_end_by_the_deadline_of_the_whole_block(car, tmp_path: Path) -> None:
    def drips(talk: Talk) -> None:
        talk.begin(content_type=BLOCK, content_length=str(MiB))
        while not talk.web.over.wait(0.05):
            talk.send(b"x")

    answers = serves(car, hangs_up, {f"/ipfs/{car[0]}": drips})
    with web_server(answers) as web, pytest.raises(StorageError, match=r"does not give \w+ within 0\.5 s"):
        fetched(gateway(web.url("/")), car[0], tmp_path / "out")


@pytest.mark.parametrize(
    ("answer", "has"), [(says(b"x"), True), (says(b"", 404), False), (says(b"", 504), False), (mute, False)]
)
def test_what_a_gateway_finds_is_there(answer, has: bool) -> None:
    with web_server({"": answer}) as web:
        source = Gateway(web.url("/"), Http(), Threads(), QUICK)
        assert trio.run(source.has, Cid.of(b"x", RAW)) is has
        assert web.asked[0].method == "HEAD"


def test_a_gateway_that_is_not_there_is_a_reason() -> None:
    with pytest.raises(StorageError, match=r"127\.0\.0\.1:1 cannot be reached"):
        trio.run(gateway("http://127.0.0.1:1").has, Cid.of(b"x", RAW))


def test_nothing_can_be_added(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="takes no data"):
        trio.run(gateway("http://127.0.0.1:1").add, tmp_path)


@pytest.mark.parametrize(
    "url", ["", "gateway.example", "ftp://gateway.example", "http://", "http://x/?a", "http://x:y"]
)
def test_what_is_no_url_of_a_gateway_stops_the_node_before_it_starts(url: str) -> None:
    with pytest.raises(OperatorError, match=r"--ipfs-gateway .*expected a URL like"):
        gateway(url)
