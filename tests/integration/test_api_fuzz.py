"""Every route under requests that nobody meant: always an answer, never a 5xx, always the same form of refusal."""

from __future__ import annotations

import hashlib
import json

import msgspec
from doubles.apinode import MODULE, SPEC, id_of, serving
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from nacl.signing import SigningKey

from node.api.views import Problem

ALICE = SigningKey(b"a" * 32)
JOB = "00000001" + "ab" * 12
SHA256 = hashlib.sha256(MODULE).hexdigest()

SEGMENTS = st.one_of(
    st.sampled_from(
        ["v1", "jobs", "events", "results", "receipt", "cancel", "modules", "peers", "node", "health", "schema", JOB]
    ),
    st.sampled_from(["", "0", JOB[:5], SHA256, "stdout", "outputs", "..", ".", "%00", "%ff", "%2e%2e", "%2f", "%"]),
    st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="#"), max_size=12),
)
KNOWN = st.sampled_from(
    [
        "/v1/jobs",
        f"/v1/jobs/{JOB}",
        f"/v1/jobs/{JOB}/cancel",
        f"/v1/jobs/{JOB}/events",
        f"/v1/jobs/{JOB}/results",
        f"/v1/jobs/{JOB}/results/stdout",
        f"/v1/jobs/{JOB}/receipt",
        "/v1/modules",
        f"/v1/modules/{SHA256}",
        "/v1/peers",
        "/v1/node",
        "/health",
        "/schema",
    ]
)
TARGETS = st.one_of(KNOWN, st.lists(SEGMENTS, max_size=6).map(lambda parts: "/" + "/".join(parts)))
QUERIES = st.one_of(st.just(""), st.sampled_from(["?limit=5", "?limit=-1", "?limit=%ff", "?limit=1&limit=2", "?%"]))
METHODS = st.sampled_from(["GET", "POST", "DELETE", "HEAD", "PUT", "PATCH", "OPTIONS", "TRACE", "BREW"])
VALUES = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30).map(str.strip)
HEADERS = st.dictionaries(
    st.sampled_from(["range", "if-range", "if-none-match", "last-event-id", "repr-digest", "digest", "content-type"]),
    st.one_of(VALUES, st.sampled_from(["bytes=0-", "bytes=-1", "1", '"x"', "sha-256=:AA==:", "application/json"])),
    max_size=3,
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
BODIES = st.one_of(
    st.just(b""),
    st.binary(max_size=50),
    JSON.map(lambda value: json.dumps(value).encode()),
    st.tuples(st.sampled_from(["name", "deal", "inputs", "outputs", "engine", "timeout_s", "version", "x"]), JSON).map(
        lambda pair: json.dumps(SPEC | dict([pair])).encode()
    ),
    st.just(MODULE),
)
REQUESTS = st.tuples(METHODS, TARGETS, QUERIES, HEADERS, BODIES)


def test_no_request_gets_more_than_a_refusal(tmp_path):
    """Hypothesis draws in this thread and asks; the API lives in the same trio run, one batch after the other."""
    folders = (tmp_path / str(number) for number in range(10_000))

    @settings(
        max_examples=60,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.generate],
    )
    @given(st.lists(REQUESTS, min_size=1, max_size=12))
    def check(requests):
        folder = next(folders)
        folder.mkdir()

        async def scenario(node):
            await node.finished_job(id_of(ALICE), {"stdout": b"hello"})
            for request in requests:
                await ask(node, *request)

        serving(folder, scenario)

    check()


async def ask(node, method, target, query, headers, body):
    sign = f"host: localhost\r\nconnection: close\r\nauthorization: Bearer {node.token(ALICE)}\r\n"
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = f"{method} {target}{query} HTTP/1.1\r\n{sign}{lines}content-length: {len(body)}\r\n\r\n"
    answer = await node.exchange(head.encode("latin-1") + body)
    where = f"{method} {target}{query} {headers} {body!r}: {answer[:200]!r}"
    assert answer.startswith(b"HTTP/1.1 "), where
    status = int(answer.split(b" ")[1])
    assert 200 <= status < 500, where
    if b"application/problem+json" in answer.split(b"\r\n\r\n")[0] and method != "HEAD":
        problem = msgspec.json.decode(answer.split(b"\r\n\r\n", 1)[1], type=Problem)
        assert problem.status == status, where
        assert problem.code, where
        assert problem.detail, where
    elif status >= 400:
        assert method == "HEAD" or answer.split(b"\r\n\r\n", 1)[1] == b"", where
