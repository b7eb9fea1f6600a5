"""A worker process: runs one module for one tenant, again and again, each time in a fresh store.

It is forked by the zygote, loads the module and answers jobs until the node closes its end. CPU time is limited per run
by ITIMER_PROF, which counts all threads of the process and whose signal ends it (RLIMIT_CPU is per process, and so no
limit of a run). What a run writes is limited per file by RLIMIT_FSIZE, whose signal ends the process as well, and in
all by ``watch`` and by a last look after the run.
Does not live here: the wall clock (the node's), what is done with a dead worker (``executor``).
"""

from __future__ import annotations

import gc
import os
import resource
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from node.executor.measure import Allowance, excess
from node.executor.wasm import engine, landlock, staging, stdin, view
from node.executor.wasm.confine import confine_worker
from node.executor.wasm.landlock import Rule
from node.executor.wasm.profile.hooks import HostTrouble
from node.executor.wasm.protocol import (
    Answer,
    Broken,
    Failed,
    Job,
    Returned,
    Unloadable,
    WorkerSpec,
    frame,
    receive_job,
)
from node.executor.wasm.staging import Shown, Unusable
from node.executor.wasm.watch import Watch

OUT_OF_FUEL = 152  # As a shell says of a process that SIGXCPU ended.

_CPU_S_MIN = 0.001  # Zero would be no limit.


def serve(channel: socket.socket, writes: int, spec: WorkerSpec) -> None:
    """The life of the process; returns when the node has no more jobs. ``writes``: the folder that is for results."""
    only = receive_job(channel) if spec.has_view else None
    try:
        shown = None if only is None else view.made(only.inputs, _taken(only), os.path.dirname(spec.staging))
    except Unusable as unusable:
        channel.sendall(frame(Failed("data", str(unusable))))
        return
    if shown is None and spec.reads:
        staging.make(spec.staging)
    confine_worker(spec.memory_bytes, reachable(spec, writes, shown))
    os.close(writes)
    try:
        program = engine.Program(engine.Code(*spec.code), spec.settings, spec.memory_bytes)
    except engine.Unloadable:
        channel.sendall(frame(Unloadable()))
        return
    watch = Watch(lambda detail: channel.sendall(frame(Failed("output", detail))))
    gc.collect()
    gc.freeze()
    kit = _Kit(program, watch, spec.staging, shown)
    job = only or receive_job(channel)
    while job is not None:
        channel.sendall(frame(_answer(kit, job)))
        job = receive_job(channel)


@dataclass(frozen=True, slots=True)
class _Kit:
    """What the runs of this process share."""

    program: engine.Program
    watch: Watch
    staging: bytes
    view: Shown | None  # of the one run that there is then


def reachable(spec: WorkerSpec, writes: int, shown: Shown | None) -> list[Rule]:
    """What this process can reach for the length of its life: of inputs what its view shows, if it has one."""
    return [
        *(Rule(path, landlock.READ) for path in spec.code),
        *(_staged_files(spec) if shown is None else [Rule(host.encode(), landlock.READ) for host, _ in shown]),
        Rule(b"/proc/self/fd/%d" % writes, landlock.WRITE),
    ]


def _staged_files(spec: WorkerSpec) -> list[Rule]:
    return [
        *(Rule(path, landlock.LINKED_FROM) for path in spec.reads),
        Rule(os.path.join(spec.staging, staging.PLACES), landlock.ARRANGE),
        Rule(os.path.join(spec.staging, staging.COPIES), landlock.WRITE),
    ]


def _taken(job: Job) -> list[str]:
    return [guest for _, guest in job.outputs]


def _answer(kit: _Kit, job: Job) -> Answer:
    try:
        with _inputs(kit, job) as shown, stdin.opened(job.stdin, shown) as read:
            return _limited(kit, job, _plan(job, shown, read))
    except Unusable as unusable:
        return Failed("data", str(unusable))
    except engine.Trapped as trapped:
        return Failed(trapped.code, trapped.reason)
    except engine.Unopened as unopened:
        return Broken(str(unopened))
    except HostTrouble as trouble:
        return Broken(f"the program met an error that is not its own ({trouble})")
    except OSError as error:
        return Broken(str(error.strerror))


@contextmanager
def _inputs(kit: _Kit, job: Job) -> Iterator[Shown]:
    """Inputs as folders; of what was put in place for it nothing is left, however it ends."""
    if kit.view is not None:
        yield kit.view
        return
    try:
        yield staging.prepare(job.inputs, _taken(job), kit.staging)
    finally:
        if job.inputs:
            staging.clear(kit.staging)


def _limited(kit: _Kit, job: Job, plan: engine.Plan) -> Answer:
    given = len(job.outputs) + 2
    allowance = Allowance(job.output_bytes, job.output_files)
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # The kernel first shortens a write, then signals: the byte too many shows what a program ignored.
    most = job.output_bytes + 1
    resource.setrlimit(resource.RLIMIT_FSIZE, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
    signal.setitimer(signal.ITIMER_PROF, max(job.cpu_s, _CPU_S_MIN))
    kit.watch.begin(job.results, given, allowance)
    try:
        exit_code = _run(kit.program, plan)
    finally:
        kit.watch.end()
        signal.setitimer(signal.ITIMER_PROF, 0)
    found = excess(job.results, given, allowance)
    return Returned(exit_code) if found is None else Failed("output", found)


def _run(program: engine.Program, plan: engine.Plan) -> int:
    """The exit code. Without fuel a run ends at the same instruction everywhere: that is a result, and it says so."""
    try:
        return program.run(plan)
    except engine.OutOfFuel:
        with open(plan.stderr, "ab") as file:
            file.write(b"quorate: out of fuel: the run was given %d\n" % (plan.fuel or 0))
        return OUT_OF_FUEL


def _plan(job: Job, shown: Shown, read: str | None) -> engine.Plan:
    writable = []
    for name, guest in job.outputs:
        folder = os.path.join(job.results, name.encode())
        os.mkdir(folder, 0o700)
        writable.append((os.fsdecode(folder), guest))
    return engine.Plan(
        args=job.args,
        env=job.env,
        read_only=shown,
        writable=writable,
        stdout=os.path.join(job.results, b"stdout"),
        stderr=os.path.join(job.results, b"stderr"),
        stdin=read,
        fuel=job.fuel,
        seed=job.seed,
    )
