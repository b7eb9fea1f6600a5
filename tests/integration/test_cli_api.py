"""The command line against the real API, with a fake requester behind it: both mean the same by every request."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import trio
from doubles.apinode import MODULE, ApiNode, api_node
from nacl.signing import SigningKey

from cli.client import Client
from cli.main import run
from node.api.views import JobView

HANG_S = 30


class Served:
    """An API in a thread of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ready = threading.Event()
        self._thread = threading.Thread(target=trio.run, args=(self._serve,))

    async def _serve(self) -> None:
        async with api_node(self._folder) as self.api:
            self._token = trio.lowlevel.current_trio_token()
            self._stop = trio.Event()
            self._ready.set()
            await self._stop.wait()

    def __enter__(self) -> ApiNode:
        self._thread.start()
        assert self._ready.wait(HANG_S)
        return self.api

    def __exit__(self, *_: object) -> None:
        self._token.run_sync_soon(self._stop.set)
        self._thread.join(HANG_S)


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ApiNode]:
    with Served(tmp_path / "node") as api:
        api.jobs.ends_at_once = True
        monkeypatch.setenv("QUORATE_API", api.url)
        monkeypatch.setenv("QUORATE_KEY", str(tmp_path / "client.key"))
        monkeypatch.chdir(tmp_path)
        (tmp_path / "my.wasm").write_bytes(MODULE)
        yield api


def test_a_module_is_kept_and_sent_once(api: ApiNode, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["wasm", "run", "my.wasm"]) == 0
    assert "uploading" in capsys.readouterr().err
    assert run(["wasm", "run", "my.wasm"]) == 0
    assert "uploading" not in capsys.readouterr().err
    assert len(api.jobs.records) == 2


def test_jobs_are_listed_described_waited_for_and_not_cancelled_twice(
    api: ApiNode, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["wasm", "run", "my.wasm", "--id-only"]) == 0
    job = capsys.readouterr().out.splitlines()[-1]

    assert run(["job", "list"]) == 0
    assert capsys.readouterr().out.startswith(f"{job}\tmy\tcompleted\t")
    assert run(["job", "describe", job[:12], "--json"]) == 0
    assert msgspec.json.decode(capsys.readouterr().out, type=JobView).id == job
    assert run(["job", "wait", job]) == 0
    assert run(["job", "cancel", job]) == 1
    assert "has ended already" in capsys.readouterr().err
    assert run(["job", "describe", "ffff"]) == 1
    assert "job list" in capsys.readouterr().err


def test_a_prefix_of_several_jobs_asks_for_more_of_it(api: ApiNode, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        assert run(["wasm", "run", "my.wasm", "--id-only"]) == 0

    assert run(["job", "describe", "0000"]) == 1
    assert "more of it" in capsys.readouterr().err


def test_a_history_is_followed_to_its_end(api: ApiNode) -> None:
    with Client(api.url, SigningKey.generate()) as client:
        spec = b'{"engine": {"type": "wasm", "module": "' + b"ab" * 32 + b'"}}'
        job = client.submit(spec)
        events = [event.kind for event in client.events(job.id, 0, HANG_S) if event is not None]
        later = [event.kind for event in client.events(job.id, 1, HANG_S) if event is not None]

    assert events == ["submitted", "ended"]
    assert later == ["ended"]


def test_who_answers_and_whom_it_knows(api: ApiNode, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["peers"]) == 0

    assert capsys.readouterr().out.startswith("12D3KooW")
