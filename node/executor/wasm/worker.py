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

from node.executor.measure import Allowance, excess
from node.executor.wasm import engine, staging, view
from node.executor.wasm.confine import confine_worker
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
from node.executor.wasm.watch import Watch

_Shown = tuple[tuple[str, str], ...]  # (host folder, guest path)

_CPU_S_MIN = 0.001  # Zero would be no limit.


def serve(channel: socket.socket, spec: WorkerSpec) -> None:
    """The life of the process; returns when the node has no more jobs."""
    only = receive_job(channel) if spec.has_view else None
    shown = None
    if only is not None:
        try:
            shown = view.made(only.inputs, _taken(only), os.path.dirname(only.staging))
        except staging.Unusable as unusable:
            channel.sendall(frame(Failed("data", str(unusable))))
            return
    confine_worker(spec.memory_bytes)
    try:
        program = engine.Program(os.fsdecode(spec.compiled), spec.memory_bytes)
    except engine.Unloadable:
        channel.sendall(frame(Unloadable()))
        return
    watch = Watch(lambda detail: channel.sendall(frame(Failed("output", detail))))
    gc.collect()
    gc.freeze()
    job = only or receive_job(channel)
    while job is not None:
        channel.sendall(frame(_answer(program, watch, job, shown)))
        job = receive_job(channel)


def _taken(job: Job) -> list[str]:
    return [guest for _, guest in job.outputs]


def _answer(program: engine.Program, watch: Watch, job: Job, shown: _Shown | None = None) -> Answer:
    staged = False
    try:
        if shown is None:
            shown, staged = staging.prepare(job.inputs, _taken(job), job.staging)
        try:
            return _limited(program, watch, job, shown)
        finally:
            if staged:
                staging.clear(job.staging)
    except staging.Unusable as unusable:
        staging.clear(job.staging)
        return Failed("data", str(unusable))
    except engine.Trapped as trapped:
        return Failed(trapped.code, trapped.reason)
    except engine.Unopened as unopened:
        return Broken(str(unopened))
    except OSError as error:
        return Broken(str(error.strerror))


def _limited(program: engine.Program, watch: Watch, job: Job, shown: _Shown) -> Answer:
    plan = _plan(job, shown)
    given = len(job.outputs) + 2
    allowance = Allowance(job.output_bytes, job.output_files)
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # The kernel first shortens a write, then signals: the byte too many shows what a program ignored.
    most = job.output_bytes + 1
    resource.setrlimit(resource.RLIMIT_FSIZE, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
    signal.setitimer(signal.ITIMER_PROF, max(job.cpu_s, _CPU_S_MIN))
    watch.begin(job.results, given, allowance)
    try:
        exit_code = program.run(plan)
    finally:
        watch.end()
        signal.setitimer(signal.ITIMER_PROF, 0)
    found = excess(job.results, given, allowance)
    return Returned(exit_code) if found is None else Failed("output", found)


def _plan(job: Job, shown: _Shown) -> engine.Plan:
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
    )
