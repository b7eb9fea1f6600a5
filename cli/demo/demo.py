"""``demo``: a real job over real data on five real nodes, shown as it happens, with liars on request.

Lives here: the order of it. Does not live here: processes (``nodes``), data (``data``), words about the verdict
(``verdicts``), flags (``commands``), the table while the job runs (``cli.live``).
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import msgspec

from cli.client import Client
from cli.demo import verdicts
from cli.demo.data import Sample, copied, standard_library
from cli.demo.nodes import Plan, Running, ending_on_signals, running, signals_held
from cli.demo.program import census
from cli.download import download, receipt_path
from cli.errors import UsageProblem
from cli.exits import Exit, of_job
from cli.following import Patience, follow
from cli.live import JobWatch, watching
from cli.output import data, json_data, program, say
from cli.wasm_spec import read_module
from node.api.views import JobView
from node.keyfile import load_or_create
from node.model import CidInput, Deal, JobSpec, WasmEngine
from node.receipt.check import Broken, Holds, check
from node.spec import canonical

ROWS = 10  # of the CSV, shown
KEY, RESULTS = "client.key", "results"
JOB_S = 600.0  # A job that takes longer has gone wrong; most take seconds.


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


def demo(wish: Wish) -> Exit:
    """Show it. ``Exit.DONE`` only when the result is verified and the receipt holds. Raises CommandError."""
    try:
        with ending_on_signals(), _folder(wish) as folder:
            return _Demo(wish, folder).run()
    except KeyboardInterrupt:
        say("interrupted; every node has ended")
        return Exit.INTERRUPTED


@contextlib.contextmanager
def _folder(wish: Wish) -> Iterator[Path]:
    """Without ``keep`` only what the demo is for stays: the results and the receipt, if it came so far."""
    if wish.folder is not None:
        wish.folder.mkdir(parents=True, exist_ok=True)
        if any(wish.folder.iterdir()):
            raise UsageProblem(f"{wish.folder}: not empty", "name a folder that is with --dir, or leave it away")
    folder = wish.folder.absolute() if wish.folder else Path(tempfile.mkdtemp(prefix="quorate-demo-"))
    try:
        yield folder
    finally:
        with signals_held():
            _tidied(folder, keep=wish.keep)


def _tidied(folder: Path, *, keep: bool) -> None:
    for name in () if keep else ("nodes", "unsealed", "logs"):
        shutil.rmtree(folder / name, ignore_errors=True)
    if not keep:
        (folder / KEY).unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # Something is in it: it stays.
        folder.rmdir()


class _Demo:
    def __init__(self, wish: Wish, folder: Path) -> None:
        self._wish = wish
        self._folder = folder
        self._began = time.monotonic()

    def run(self) -> Exit:
        """From the data to the free ports."""
        source = self._wish.source or standard_library()
        sample = copied(source, self._folder / "unsealed")
        say(f"data   {sample.files:,} Python files, {sample.bytes / 1e6:.1f} MB, from {source}")
        say(f"       unsealed on every node as {sample.cid} (the CID of the list of their sha256)")
        say(f"nodes  starting {self._wish.nodes} processes on loopback")
        template = f"{sample.root}/{{{{ cid }}}}"
        plan = Plan(folder=self._folder, count=self._wish.nodes, liars=self._wish.liars, unsealed=template)
        with running(plan) as network:
            for node in network.nodes:
                say(f"       {node.label:14} {node.api_url}  {node.addresses[0]}")
            say(f"       ready after {self._seconds():.1f} s")
            code, summary = self._shown(sample, network.nodes)
        say(f"ended  all nodes have ended and their ports are free, after {self._seconds():.1f} s in all")
        if self._wish.as_json:
            json_data(summary)
        return code

    def _shown(self, sample: Sample, nodes: tuple[Running, ...]) -> tuple[Exit, Summary]:
        labels = {node.peer_id: node.label for node in nodes}
        with Client(nodes[0].api_url, load_or_create(self._folder / KEY)) as client:
            job = self._followed(client, self._submitted(client, sample.cid), labels)
            for line in verdicts.lines(job, labels):
                say(line)
            holds = job.results is not None and self._fetched(client, job)
        code = of_job(job.state, job.failure.code if job.failure else None)
        code = Exit.FAILED if code is Exit.DONE and not holds else code
        return code, self._summary(job, sample, {node.peer_id: node.name for node in nodes}, holds=holds)

    def _submitted(self, client: Client, cid: str) -> str:
        """The job's id."""
        module, count = census(), self._wish.nodes
        sha256 = client.upload(module, read_module(module)).sha256
        deal = Deal(concurrency=count, confidence=max(count - 1, count // 2 + 1), min_bids=count)
        spec = JobSpec(
            name="census",
            engine=WasmEngine(module=sha256),
            inputs=(CidInput(cid=cid, path="/inputs"),),
            verifier="deterministic",
            deal=deal,
        )
        say(f"job    {program()} wasm run {module.name} -v {cid}:/inputs {flags_of(deal)}")
        return client.submit(canonical(spec)).id

    def _followed(self, client: Client, job: str, labels: dict[str, str]) -> JobView:
        """The job once it has ended; until then, what happens to it."""
        with watching(JobWatch(labels)) as feed:
            for event in follow(client, job, Patience.of(JOB_S), say):
                feed(event)
            ended = client.job(job)
            feed(ended)
        return ended

    def _fetched(self, client: Client, job: JobView) -> bool:
        """Results and receipt, downloaded and checked; whether everything holds."""
        kept = download(client, job, self._folder / RESULTS, say)
        results = kept.folder
        checked = check(kept.receipt.read_bytes(), results)
        holds = isinstance(checked, Holds)
        broken = f": {checked.why}" if isinstance(checked, Broken) else ""
        say(f"kept   {results}")
        say(f"       {kept.receipt}: checked offline, it {'holds' if holds else f'does not hold{broken}'}")
        say(f"       {(results / 'stdout').read_text(errors='replace').strip()}")
        if not self._wish.as_json:
            with (results / "outputs" / "imports.csv").open(errors="replace") as rows:
                data("".join(islice(rows, ROWS)).rstrip())
        return holds

    def _summary(self, job: JobView, sample: Sample, names: dict[str, str], *, holds: bool) -> Summary:
        kept = job.results is not None
        verdict = verdicts.verdict_of(job)
        groups = verdict.groups if verdict else ()
        return Summary(
            job=job.id,
            state=job.state,
            verdict=verdict.kind if verdict else None,
            agreed=len(verdicts.agreed(job)),
            disagreed=tuple(names.get(peer, peer) for peer in verdicts.disagreed(job)),
            groups=tuple(tuple(names.get(peer, peer) for peer in group.peers) for group in groups),
            files=sample.files,
            bytes=sample.bytes,
            results=str(self._folder / RESULTS) if kept else None,
            receipt=str(receipt_path(self._folder / RESULTS)) if kept else None,
            receipt_holds=holds,
            seconds=round(self._seconds(), 3),
        )

    def _seconds(self) -> float:
        return time.monotonic() - self._began


def flags_of(deal: Deal) -> str:
    """A deal as ``wasm run`` takes it."""
    numbers = f"--concurrency {deal.concurrency} --confidence {deal.confidence} --min-bids {deal.min_bids}"
    return f"--verifier deterministic {numbers}"
