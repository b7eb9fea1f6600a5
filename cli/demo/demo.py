"""``demo``: a real job over real data on five real nodes, shown as it happens, with liars on request.

Lives here: the order of it. Does not live here: processes (``nodes``), data (``data``), the table (``board``), words
about the verdict (``verdicts``), flags (``commands``).
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
from rich.console import Console
from rich.live import Live

from cli.client import Client
from cli.demo import board as boards
from cli.demo import verdicts
from cli.demo.data import Sample, copied, standard_library
from cli.demo.nodes import Plan, Running, ending_on_signals, running, signals_held
from cli.demo.program import census
from node.api.views import JobView
from node.errors import OperatorError
from node.model import Deal, Input, JobSpec, WasmEngine
from node.receipt.check import Holds, check

ROWS = 10  # of the CSV, shown
EXIT_OF = {"completed": 0, "not_verified": 3}  # as of ``wasm run --wait``; anything else is 1
INTERRUPTED = 130


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What to show."""

    nodes: int = 5
    liars: int = 0
    source: Path | None = None  # a tree of Python files; None: the standard library's
    folder: Path | None = None  # where everything is put; None: a new temporary one
    keep: bool = False  # also the nodes' own data, the copy of the source and the logs
    as_json: bool = False


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What ``--json`` prints."""

    job: str
    state: str
    verdict: str | None
    agreed: int
    disagreed: tuple[str, ...]
    groups: tuple[tuple[str, ...], ...]
    files: int
    bytes: int
    results: str | None
    receipt: str | None
    receipt_holds: bool
    seconds: float


def demo(wish: Wish) -> int:
    """Show it, and return the exit code: 0 when the result is verified. Raises NodeError."""
    say = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        with ending_on_signals(), _folder(wish) as folder:
            return _Demo(wish, folder, say).run()
    except KeyboardInterrupt:
        say.print("interrupted; every node has ended")
        return INTERRUPTED


@contextlib.contextmanager
def _folder(wish: Wish) -> Iterator[Path]:
    """Without ``keep`` only what a run asked for stays: results and receipt, if it came so far."""
    if wish.folder is not None:
        wish.folder.mkdir(parents=True, exist_ok=True)
        if any(wish.folder.iterdir()):
            raise OperatorError(f"{wish.folder}: not empty; name a folder that is, or none")
    folder = wish.folder or Path(tempfile.mkdtemp(prefix="quorate-demo-"))
    try:
        yield folder
    finally:
        with signals_held():
            if not wish.keep:
                for name in ("nodes", "unsealed", "logs", "client.key"):
                    _remove(folder / name)
            with contextlib.suppress(OSError):  # Something is in it: it stays.
                folder.rmdir()


class _Demo:
    def __init__(self, wish: Wish, folder: Path, say: Console) -> None:
        self._wish = wish
        self._folder = folder
        self._say = say
        self._began = time.monotonic()

    def run(self) -> int:
        wish, say = self._wish, self._say
        source = wish.source or standard_library()
        sample = copied(source, self._folder / "unsealed")
        say.print(f"data   {sample.files:,} Python files, {sample.bytes / 1e6:.1f} MB: {source}")
        say.print(f"       as {sample.cid}, the CID of the list of their sha256")
        template = f"{sample.root}/{{{{ cid }}}}"
        plan = Plan(folder=self._folder, count=wish.nodes, liars=wish.liars, unsealed=template)
        say.print(f"nodes  starting {wish.nodes} processes on loopback")
        with running(plan) as network:
            for node in network.nodes:
                say.print(f"       {node.label:14} {node.api_url}  {node.addresses[0]}")
            say.print(f"       ready after {self._seconds():.1f} s")
            exit_code = self._job(sample, network.nodes)
        say.print(f"ended  all nodes have ended and their ports are free, after {self._seconds():.1f} s in all")
        return exit_code

    def _job(self, sample: Sample, nodes: tuple[Running, ...]) -> int:
        with Client(nodes[0].api_url, self._folder / "client.key") as client:
            module = census()
            spec = self._spec(client.upload(module), sample.cid)
            self._say.print(f"job    quorate wasm run {module.name} -v {sample.cid}:/inputs {_flags(spec.deal)}")
            job = self._shown(client, client.submit(spec).id, {node.peer_id: node.label for node in nodes})
            for line in verdicts.lines(job, {node.peer_id: node.label for node in nodes}):
                self._say.print(line, markup=False, style="bold")
            holds = job.results is not None and self._fetched(client, job)
        if self._wish.as_json:
            self._print_summary(job, sample, nodes, holds=holds)
        exit_code = EXIT_OF.get(job.state, 1)
        return 1 if exit_code == 0 and not holds else exit_code

    def _spec(self, module: str, cid: str) -> JobSpec:
        count = self._wish.nodes
        return JobSpec(
            name="census",
            engine=WasmEngine(module=module),
            inputs=(Input(cid=cid, path="/inputs"),),
            verifier="deterministic",
            deal=Deal(concurrency=count, confidence=max(count - 1, count // 2 + 1), min_bids=count),
        )

    def _shown(self, client: Client, job: str, names: dict[str, str]) -> JobView:
        """The job once it has ended; until then, what happens to it."""
        say, board = self._say, boards.empty(names)
        with Live(console=say, auto_refresh=False) if say.is_terminal else contextlib.nullcontext() as live:
            for event in client.events(job):
                board = boards.saw(board, event)
                view = client.job(job) if event.kind == "verdict" else None
                board = boards.judged(board, view.verdict) if view and view.verdict else board
                if live is None:
                    say.print(boards.line(board, event), markup=False)
                else:
                    live.update(boards.table(board), refresh=True)
        if live is None:
            say.print(boards.table(board))
        return client.job(job)

    def _fetched(self, client: Client, job: JobView) -> bool:
        """Results and receipt, downloaded and checked; whether everything holds."""
        results, receipt = self._folder / "results", self._folder / "receipt.json"
        client.download(job.id, results)
        receipt.write_bytes(client.receipt(job.id))
        checked = check(receipt.read_bytes(), results)
        holds = isinstance(checked, Holds)
        self._say.print(f"offline the receipt {'holds' if holds else f'does not hold: {checked}'}", markup=False)
        self._say.print(f"       results  {results}", markup=False)
        self._say.print(f"       receipt  {receipt}", markup=False)
        self._say.print((results / "stdout").read_text(errors="replace").rstrip(), markup=False)
        if not self._wish.as_json:
            with (results / "outputs" / "imports.csv").open(errors="replace") as rows:
                Console(highlight=False).print("".join(row for row, _ in zip(rows, range(ROWS), strict=False)), end="")
        return holds

    def _print_summary(self, job: JobView, sample: Sample, nodes: tuple[Running, ...], *, holds: bool) -> None:
        names = {node.peer_id: node.name for node in nodes}
        kept = job.results is not None
        summary = Summary(
            job=job.id,
            state=job.state,
            verdict=job.verdict.kind if job.verdict else None,
            agreed=len(verdicts.agreed(job)),
            disagreed=tuple(names.get(peer, peer) for peer in verdicts.disagreed(job)),
            groups=tuple(
                tuple(names.get(peer, peer) for peer in group.peers)
                for group in (job.verdict.groups if job.verdict else ())
            ),
            files=sample.files,
            bytes=sample.bytes,
            results=str(self._folder / "results") if kept else None,
            receipt=str(self._folder / "receipt.json") if kept else None,
            receipt_holds=holds,
            seconds=round(self._seconds(), 3),
        )
        Console(highlight=False, soft_wrap=True).print(msgspec.json.encode(summary).decode(), markup=False)

    def _seconds(self) -> float:
        return time.monotonic() - self._began


def _flags(deal: Deal) -> str:
    return (
        f"--verifier deterministic --concurrency {deal.concurrency} --confidence {deal.confidence}"
        f" --min-bids {deal.min_bids}"
    )


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
