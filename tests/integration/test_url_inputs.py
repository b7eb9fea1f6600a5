"""Files of the web from servers that mean harm, or have changed: in the end whole, or a reason; never elsewhere."""

from __future__ import annotations

import base64
import hashlib
from contextlib import asynccontextmanager

import msgspec
import pytest
import trio
from doubles.certificates import serving
from doubles.inputcaches import guarded
from doubles.peers import peer
from doubles.webanswers import breaks_off, endless, hangs_up, mute, redirects, says, stalls, web_server

from node import limits
from node.ambient import Threads
from node.errors import StorageError
from node.model import UrlInput
from node.storage.addresses import networks
from node.storage.cache import InputCache
from node.storage.http import Deadlines, Http
from node.storage.reach import Reach, by_system, is_own
from node.storage.url import WebFiles

LOOPBACK = networks(["127.0.0.0/8"])
QUICK = Deadlines(connect_s=2, answer_s=0.5, stall_s=0.5)
BODY = b"0123456789" * 30_000


class Names:
    """DNS of a test: each name's answers, one after the other; the last one stays."""

    def __init__(self, **answers):
        self.answers = {name.replace("_", "."): list(found) for name, found in answers.items()}
        self.asked = []

    async def __call__(self, host, port):
        await trio.lowlevel.checkpoint()
        self.asked.append(host)
        found = self.answers.get(host, [[host]])
        return found.pop(0) if len(found) > 1 else found[0]


def files(tmp_path, allowed=LOOPBACK, names=by_system, http=None):
    cache = InputCache(tmp_path / "inputs", 10_000_000, Threads())
    return WebFiles(Reach(http or Http(QUICK), allowed, names), cache, Threads())


def ref(url, **pin):
    return UrlInput(url=url, path="/inputs/x", **pin)


async def read(driver, pinned):
    async with driver.prepared(pinned, peer(1)) as prepared:
        return prepared.path.read_bytes()


async def both(driver, url):
    """As a requester, then as a node."""
    pinned = await driver.resolved(ref(url))
    return pinned, await read(driver, pinned)


def left_in(tmp_path):
    return list((tmp_path / "inputs").iterdir())


@asynccontextmanager
async def fails(tmp_path, says):
    """A reason, and no trace in the cache."""
    with pytest.raises(StorageError, match=says):
        yield
    assert left_in(tmp_path) == []


def test_redirects_are_followed_each_from_where_it_was_found(tmp_path):
    steps = ["/0", *(f"/deeper{'/x' * n}/{n}" for n in range(1, limits.URL_REDIRECTS_MAX + 1))]
    answers = {step: redirects("deeper/x/1" if n == 0 else f"x/{n + 1}") for n, step in enumerate(steps[:-1])}
    with web_server(answers | {steps[-1]: says(BODY, etag='"1"'), "/one-more": redirects("/0")}) as web:
        pinned, found = guarded(both, files(tmp_path), web.url("/0"))
        assert found == BODY
        assert (pinned.size, pinned.etag, pinned.sha256) == (len(BODY), '"1"', None)
        with pytest.raises(StorageError, match="redirects more than 5 times"):
            guarded(files(tmp_path).resolved, ref(web.url("/one-more")))


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (redirects("/x"), "redirects more than 5 times"),
        (redirects("http://169.254.169.254/latest/meta-data/x"), "169.254.169.254, which is link-local"),
        (redirects("http://[::1]/x"), "::1, which is loopback"),
        (redirects("http://[::ffff:10.0.0.1]/x"), "which is private"),
        (redirects("http://0/x"), "which is unspecified"),
        (redirects("http://0xa9fea9fe/x"), "which is link-local"),
        (redirects("http://2852039166/x"), "which is link-local"),
        (redirects("file:///etc/passwd"), "redirects to where this node does not go"),
        (redirects("http://u:p@127.0.0.1/x"), "redirects to where this node does not go"),
        (redirects("gopher://127.0.0.1/x"), "redirects to where this node does not go"),
        (says(b"no", 404), "the answer is 404"),
        (says(b"no", 500), "the answer is 500"),
        (says(b"part", 206), "the answer is 206"),
        (says(b"", 204), "the answer is 204"),
        (says(b"", 304), "the answer is 304"),
        (says(b"nowhere to", 302), "the answer is 302"),
        (says(b""), "is empty"),
        (says(b"\x1f\x8b\x08", content_encoding="gzip"), "comes compressed"),
        (says(b"x", content_encoding="identity, br"), "comes compressed"),
        (mute, "does not answer within"),
        (hangs_up, "broke off"),
    ],
)
def test_an_answer_that_is_no_file_is_a_reason(tmp_path, answer, reason):
    async def main(url):
        driver = files(tmp_path)
        async with fails(tmp_path, reason):
            await driver.resolved(ref(url))
        async with fails(tmp_path, reason if reason != "is empty" else "changed"):
            await read(driver, ref(url, size=5, etag='"1"'))

    with web_server({"/x": answer}) as web:
        guarded(main, web.url("/x"))


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (breaks_off(BODY, 1000, etag='"1"'), "broke off"),
        (stalls(BODY, 1000, etag='"1"'), "sent nothing for"),
        (endless(b"x" * 100_000, etag='"1"'), "changed .*size was 300000"),
        (says(BODY + b"x", etag='"1"'), "changed .*size was 300000, is 300001"),
        (says(BODY[:-1], etag='"1"'), "changed .*size was 300000, is 299999"),
        (says(BODY, etag='"2"'), 'changed .*ETag was "1", is "2"'),
        (says(BODY), "no ETag any more"),
    ],
)
def test_a_body_that_is_not_what_was_seen_is_not_taken(tmp_path, answer, reason):
    async def main(web):
        driver = files(tmp_path)
        pinned = await driver.resolved(ref(web.url("/x")))
        web.answers["/x"] = answer
        async with fails(tmp_path, reason):
            await read(driver, pinned)
        web.answers["/x"] = says(BODY, etag='"1"')
        assert await read(driver, pinned) == BODY

    with web_server({"/x": says(BODY, etag='"1"')}) as web:
        guarded(main, web)


def test_the_same_size_and_etag_with_other_bytes_is_found_out_by_the_digest(tmp_path):
    digest = base64.b64encode(hashlib.sha256(BODY).digest()).decode()

    async def main(web):
        driver = files(tmp_path)
        pinned = await driver.resolved(ref(web.url("/x")))
        assert pinned.sha256 == hashlib.sha256(BODY).hexdigest()
        web.answers["/x"] = says(BODY[::-1], etag='"1"')
        async with fails(tmp_path, "changed .*sha256 was"):
            await read(driver, pinned)
        web.answers["/x"] = says(BODY, etag='"another mirror"')
        assert await read(driver, pinned) == BODY

    with web_server({"/x": says(BODY, etag='"1"', repr_digest=f"sha-256=:{digest}:")}) as web:
        guarded(main, web)


def test_a_file_whose_server_says_nothing_of_it_is_measured(tmp_path):
    def unmeasured(talk):
        talk.begin(transfer_encoding="chunked")
        for start in range(0, len(BODY), 70_000):
            piece = BODY[start : start + 70_000]
            talk.send(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        talk.send(b"0\r\n\r\n")

    with web_server({"/x": unmeasured, "/y": says(BODY)}) as web:
        for path in ("/x", "/y"):
            pinned, found = guarded(both, files(tmp_path), web.url(path))
            assert found == BODY
            assert (pinned.size, pinned.sha256) == (len(BODY), hashlib.sha256(BODY).hexdigest())


def test_measuring_has_an_end(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "URL_MEASURE_BYTES", 1_000_000)
    with web_server({"/x": endless(b"x" * 65_536)}) as web:
        with pytest.raises(StorageError, match="more than 1000000 bytes, and its server tells not both"):
            guarded(files(tmp_path).resolved, ref(web.url("/x")))
        monkeypatch.setattr(limits, "URL_MEASURE_S", 0.2)
        web.answers["/x"] = endless(b"x")
        with pytest.raises(StorageError, match="reading it takes too long"):
            guarded(files(tmp_path).resolved, ref(web.url("/x")))


def test_a_file_that_says_it_is_too_long_is_refused_at_once(tmp_path):
    def absurd(talk):
        talk.begin(content_length=str(limits.URL_BYTES_MAX + 1), etag='"1"')
        talk.silent()

    with web_server({"/x": absurd}) as web, pytest.raises(StorageError, match="sends more than"):
        guarded(files(tmp_path).resolved, ref(web.url("/x")))


@pytest.mark.parametrize("length", ["9" * 5000, "-5", "5, 6", "0x5"])
def test_a_length_that_is_none_is_a_reason(tmp_path, length):
    def act(talk):
        talk.begin(content_length=length, etag='"1"')

    with web_server({"/x": act}) as web, pytest.raises(StorageError):
        guarded(files(tmp_path).resolved, ref(web.url("/x")))


def test_one_byte_now_and_then_is_not_waited_for_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "URL_SETUP_S", 0.5)
    monkeypatch.setattr(limits, "URL_BYTES_PER_S_MIN", 10_000_000)

    def slow(talk):
        talk.begin(content_length=str(len(BODY)), etag='"1"')
        while not talk.web.over.wait(0.05):
            talk.send(b"0")

    async def main(url):
        async with fails(tmp_path, "takes longer than"):
            await read(files(tmp_path), ref(url, size=len(BODY), etag='"1"'))

    with web_server({"/x": slow}) as web:
        guarded(main, web.url("/x"))


def test_a_name_that_changes_its_mind_is_asked_once_for_each_request_and_connected_to_as_judged(tmp_path):
    """DNS rebinding: harmless when it is judged, loopback when a second look would connect."""
    names = Names(rebinding_test=[["127.0.0.1"], ["169.254.169.254"]])

    async def main(port):
        driver = files(tmp_path, names=names)
        url = f"http://rebinding.test:{port}/x"
        pinned = await driver.resolved(ref(url))
        assert names.asked == ["rebinding.test"]
        async with fails(tmp_path, "rebinding.test is at 169.254.169.254, which is link-local"):
            await read(driver, pinned)

    with web_server({"/x": says(BODY, etag='"1"')}) as web:
        guarded(main, web.port)
        assert [asked.headers["host"] for asked in web.asked] == [f"rebinding.test:{web.port}"]


def test_a_name_with_one_address_that_is_not_public_is_refused_whatever_the_others_are(tmp_path):
    names = Names(mixed_test=[["127.0.0.1", "10.0.0.1"]])
    with web_server({"/x": says(BODY, etag='"1"')}) as web:
        with pytest.raises(StorageError, match=r"10.0.0.1, which is private.*--allow-url-cidr"):
            guarded(files(tmp_path, names=names).resolved, ref(f"http://mixed.test:{web.port}/x"))
        assert web.asked == []


def test_the_next_address_is_tried_when_one_does_not_answer(tmp_path):
    names = Names(two_test=[["127.0.0.2", "127.0.0.1"]])
    with web_server({"/x": says(BODY, etag='"1"')}) as web:
        _, found = guarded(both, files(tmp_path, names=names), f"http://two.test:{web.port}/x")
        assert found == BODY


def test_nothing_on_this_machine_is_asked_without_the_operators_word(tmp_path):
    with web_server({"/x": says(BODY, etag='"1"')}) as web:
        for host in ("127.0.0.1", "localhost", "127.1", "0", "2130706433", "[::ffff:127.0.0.1]"):
            with pytest.raises(StorageError, match="which is"):
                guarded(files(tmp_path, allowed=()).resolved, ref(f"http://{host}:{web.port}/x"))
        assert web.asked == []


def test_this_machines_own_addresses_are_known():
    """A public one among them is behind the firewall for nobody but this node."""
    assert is_own("127.0.0.1")
    assert not is_own("1.1.1.1")


@pytest.mark.parametrize("port", [1, 22, 25, 110, 1023])
def test_ports_of_other_protocols_are_not_spoken_to(tmp_path, port):
    with pytest.raises(StorageError, match="no port of the web"):
        guarded(files(tmp_path, names=Names(public_test=[["1.1.1.1"]])).resolved, ref(f"http://public.test:{port}/x"))


def test_tls_is_verified_for_the_name_and_not_for_the_address(tmp_path):
    server, trusts = serving("good.test", tmp_path)
    names = Names(good_test=[["127.0.0.1"]], other_test=[["127.0.0.1"]])
    driver = files(tmp_path, names=names, http=Http(QUICK, trusts))
    with web_server({"/x": says(BODY, etag='"1"'), "/down": redirects("http://good.test/x")}, server) as web:
        _, found = guarded(both, driver, f"https://good.test:{web.port}/x")
        assert found == BODY
        with pytest.raises(StorageError, match="certificate"):
            guarded(driver.resolved, ref(f"https://other.test:{web.port}/x"))
        with pytest.raises(StorageError, match="redirects from https to http"):
            guarded(driver.resolved, ref(f"https://good.test:{web.port}/down"))


def test_proxies_of_the_environment_are_not_used(tmp_path, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with web_server({"/x": says(BODY, etag='"1"')}) as web:
        assert guarded(both, files(tmp_path), web.url("/x"))[1] == BODY


def test_what_a_client_says_of_a_file_is_checked_when_it_is_submitted(tmp_path):
    with web_server({"/x": says(BODY, etag='"1"')}) as web:
        with pytest.raises(StorageError, match=r"changed .*size was 5"):
            guarded(files(tmp_path).resolved, ref(web.url("/x"), size=5))
        known = "0" * 64
        pinned = guarded(files(tmp_path).resolved, ref(web.url("/x"), sha256=known))
        assert pinned.sha256 == known


def test_a_file_that_was_never_looked_up_is_not_fetched(tmp_path):
    async def main(url):
        driver = files(tmp_path)
        for pin in ({}, {"size": 5}, {"etag": '"1"'}):
            async with fails(tmp_path, "its requester never looked it up"):
                await read(driver, ref(url, **pin))

    with web_server({"/x": says(BODY, etag='"1"')}) as web:
        guarded(main, web.url("/x"))
        assert web.asked == []


def test_a_pin_travels_in_a_spec(tmp_path):
    with web_server({"/x": says(BODY, etag='"\xe9"')}) as web:
        pinned = guarded(files(tmp_path).resolved, ref(web.url("/x")))
        assert msgspec.json.decode(msgspec.json.encode(pinned), type=UrlInput) == pinned


def test_a_host_without_an_address_is_told_in_words(tmp_path):
    with pytest.raises(StorageError, match=r"\Anonexistent\.invalid cannot be resolved: [A-Z]"):
        guarded(files(tmp_path).resolved, ref("https://nonexistent.invalid/a"))
