"""Reading from web servers, honest and hostile: nothing is followed, unpacked or waited for without an end."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest
import trio
from doubles.certificates import serving
from doubles.webanswers import Web, breaks_off, endless, hangs_up, mute, redirects, says, stalls, web_server

from node.errors import StorageError
from node.storage.http import Deadlines, Http

GUARD_S = 60
QUICK = Deadlines(connect_s=5, answer_s=0.3, stall_s=0.3)
NOBODY = "http://127.0.0.1:1/"


def read(url: str, *, bytes_max: int = 1_000, at: str | None = None, http: Http | None = None, **options) -> bytes:
    async def main() -> bytes:
        with trio.fail_after(GUARD_S):
            async with (
                (http or Http(QUICK)).session(at) as session,
                session.get(url, bytes_max=bytes_max, **options) as answer,
            ):
                return await answer.whole()

    return trio.run(main)


def test_a_body_comes_as_it_was_sent() -> None:
    with web_server({"/": says(b"\x1f\x8b not unpacked", content_encoding="gzip")}) as web:
        assert read(web.url()) == b"\x1f\x8b not unpacked"
        assert web.asked[0].headers["accept-encoding"] == "identity"


def test_a_redirect_is_an_answer_and_not_followed() -> None:
    async def main(web: Web) -> None:
        async with Http().session() as session, session.get(web.url(), bytes_max=9) as answer:
            assert (answer.status, answer.headers["Location"]) == (302, web.url("/secret"))

    with web_server({"/": redirects("to be set"), "/secret": says(b"secret")}) as web:
        web.answers["/"] = redirects(web.url("/secret"))
        trio.run(main, web)
        assert [request.target for request in web.asked] == ["/"]


def test_a_head_has_the_size_of_what_is_not_sent() -> None:
    async def main(web: Web) -> None:
        async with Http().session() as session, session.get(web.url(), bytes_max=1, method="HEAD") as answer:
            assert answer.declared_bytes == 5
            assert await answer.whole() == b""

    with web_server({"/": says(b"12345")}) as web:
        trio.run(main, web)


def test_a_pinned_address_is_asked_and_no_name_resolved() -> None:
    with web_server({"/": says(b"here")}) as web:
        assert read(web.url(host="name.invalid"), at="127.0.0.1") == b"here"
        assert web.asked[0].headers["host"] == f"name.invalid:{web.port}"


def test_a_pinned_connection_is_for_one_request() -> None:
    async def main(web: Web) -> None:
        async with Http().session(at="127.0.0.1") as session:
            for _ in range(2):
                async with session.get(web.url(), bytes_max=9) as answer:
                    await answer.whole()

    ports = []
    with web_server({"/": lambda talk: (ports.append(talk.client_address), says(b"x")(talk))}) as web:
        trio.run(main, web)
    assert len(set(ports)) == 2


def test_a_certificate_must_be_for_the_name_in_the_url_also_at_a_pinned_address(tmp_path: Path) -> None:
    server, trusts = serving("name.invalid", tmp_path)
    with web_server({"/": says(b"here")}, server) as web:
        http = Http(trusts=trusts)
        assert read(web.url(host="name.invalid"), at="127.0.0.1", http=http) == b"here"
        with pytest.raises(StorageError, match=r"other\.invalid:\d+ cannot be reached: .*CERTIFICATE_VERIFY_FAILED"):
            read(web.url(host="other.invalid"), at="127.0.0.1", http=http)


def test_a_certificate_of_nobody_we_trust_is_refused(tmp_path: Path) -> None:
    server, _ = serving("name.invalid", tmp_path)
    with (
        web_server({"/": says(b"here")}, server) as web,
        pytest.raises(StorageError, match="CERTIFICATE_VERIFY_FAILED"),
    ):
        read(web.url(host="name.invalid"), at="127.0.0.1")


def test_no_proxy_of_the_environment_is_used() -> None:
    proxies = {name: NOBODY for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy")}
    before = dict(os.environ)
    os.environ.update(proxies)
    try:
        with web_server({"/": says(b"here")}) as web:
            assert read(web.url()) == b"here"
    finally:
        os.environ.clear()
        os.environ.update(before)


def test_cookies_are_not_kept() -> None:
    async def main(web: Web) -> None:
        async with Http().session() as session:
            for _ in range(2):
                async with session.get(web.url(), bytes_max=9) as answer:
                    await answer.whole()

    with web_server({"/": says(b"x", set_cookie="a=b")}) as web:
        trio.run(main, web)
        assert "cookie" not in web.asked[1].headers


@pytest.mark.parametrize(
    ("misbehaves", "reason"),
    [
        (hangs_up, r"broke off"),
        (mute, r"does not answer within 0\.3 s"),
        (stalls(b"12345", 2), r"sent nothing for 0\.3 s"),
        (breaks_off(b"12345", 2), r"broke off: .*without sending complete message body"),
        (endless(b"x" * 999), r"sends more than the 1000 bytes that are expected"),
        (says(b"x" * 1_001), r"sends more than the 1000 bytes that are expected"),
        (lambda talk: (talk.send(b"220 smtp.example ESMTP\r\n"), hangs_up(talk)), r"broke off"),
        (lambda talk: talk.begin(many="x" * 200_000), r"broke off"),
    ],
    ids=["hangs up", "mute", "stalls", "breaks off", "endless", "too long", "no http", "a head without an end"],
)
def test_a_server_that_misbehaves_ends_in_a_reason_that_names_it(misbehaves, reason: str) -> None:
    with web_server({"/": misbehaves}) as web, pytest.raises(StorageError, match=rf"127\.0\.0\.1:{web.port} {reason}"):
        read(web.url())


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        (NOBODY, "127.0.0.1:1 cannot be reached"),
        ("http://user:secret@127.0.0.1:1/", "^127.0.0.1:1 cannot be reached"),
        ("http://name.invalid/", "name.invalid cannot be reached"),
        ("ftp://127.0.0.1/", "must begin with http"),
        ("http:///x", "must begin with http"),
        ("", "must begin with http"),
        ("http://[::1/", "is no URL that can be read"),
        ("http://" + "a" * 300 + ".com/", "is no URL that can be read"),
    ],
)
def test_what_cannot_be_asked_is_a_reason_without_anybodys_password(url: str, reason: str) -> None:
    with pytest.raises(StorageError, match=reason):
        read(url)


def test_who_stops_in_the_middle_leaves_no_connection_and_no_generator() -> None:
    async def main(web: Web) -> None:
        async with Http().session() as session:
            async with session.get(web.url(), bytes_max=1 << 40) as answer:
                assert await anext(answer)
            with trio.move_on_after(0.1) as scope:
                async with session.get(web.url(), bytes_max=1 << 60) as answer:
                    await answer.whole()
            assert scope.cancelled_caught
        gc.collect()  # trio warns of generators that were left, which fails this test
        await trio.lowlevel.checkpoint()

    with web_server({"/": endless(b"x" * 65_536)}) as web:
        trio.run(main, web)
        assert len(web.asked) == 2
