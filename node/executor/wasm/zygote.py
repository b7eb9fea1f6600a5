"""The zygote: a process that has imported wasmtime and forks a child in milliseconds, started as ``python -m``.

It never makes an Engine: a child forked after that hangs at its first use. It has one thread, runs nothing of anybody,
waits on the node's socket and on its children, and ends with the node, and they with it, because the kernel closes that
socket whatever happens to the node.
Does not live here: what children do (``worker``, ``compiler``), when they are ended (the node).
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
import socket
import sys
from collections.abc import Sequence

from node.executor.wasm import confine, mounts
from node.executor.wasm.protocol import (
    FILES_MAX,
    PACKET_BYTES_MAX,
    CompilerSpec,
    Exited,
    Hello,
    Spawn,
    Spawned,
    WorkerSpec,
    packet,
    spawn_of,
)


class _Zygote:
    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._children: dict[int, tuple[int, int]] = {}  # pidfd: (number, pid)
        self._poll = select.poll()
        self._poll.register(control, select.POLLIN)

    def serve(self) -> None:
        """Until the node is gone."""
        while True:
            for ready, _ in self._poll.poll():
                if ready != self._control.fileno():
                    self._reap(ready)
                elif not self._obey():
                    return

    def end(self) -> None:
        """Children die with this process anyway; this makes it now."""
        for _, pid in self._children.values():
            os.kill(pid, signal.SIGKILL)

    def _obey(self) -> bool:
        data, files, _, _ = socket.recv_fds(self._control, PACKET_BYTES_MAX, FILES_MAX, socket.MSG_CMSG_CLOEXEC)
        if not data:
            return False
        spawn = spawn_of(data)
        self._fork(spawn, files)
        for file in files:
            os.close(file)
        return True

    def _fork(self, spawn: Spawn, files: Sequence[int]) -> None:
        parent = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:
            self._control.send(packet(Spawned(spawn.number, f"no new process: {error.strerror}")))
            return
        if pid == 0:
            _live(spawn.spec, files, parent)
        child = os.pidfd_open(pid)
        self._children[child] = (spawn.number, pid)
        self._poll.register(child, select.POLLIN)
        socket.send_fds(self._control, [packet(Spawned(spawn.number))], [child])

    def _reap(self, child: int) -> None:
        """Before the zombie goes its process group is still its own: what is left in it ends here."""
        number, pid = self._children.pop(child)
        self._poll.unregister(child)
        with contextlib.suppress(ProcessLookupError):  # It died before it had a group.
            os.killpg(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        os.close(child)
        self._control.send(packet(Exited(number, os.waitstatus_to_exitcode(status))))


def _live(spec: WorkerSpec | CompilerSpec, files: Sequence[int], parent: int) -> None:
    """In the child; never returns into the zygote's loop."""
    try:
        from node.executor.wasm import compiler, worker

        confine.adopt(files, parent)
        channel = socket.socket(fileno=3)
        if isinstance(spec, WorkerSpec):
            worker.serve(channel, 4, spec)
        else:
            compiler.serve(channel, 4, spec)
        os._exit(0)
    finally:
        os._exit(70)


def _prepare() -> str | None:
    """Import what children need; the text of what is missing."""
    try:
        from node.executor.wasm import compiler, worker  # noqa: F401
    except ImportError as error:
        return str(error)
    os.environ.clear()
    gc.collect()
    gc.freeze()
    return None


def main() -> None:
    """``python -m node.executor.wasm.zygote DESCRIPTOR``."""
    control = socket.socket(fileno=int(sys.argv[1]))
    confine.go_nowhere()
    viewless = mounts.why_not()
    error = _prepare()
    zygote = _Zygote(control)
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # The node is gone in the middle of a message.
        control.send(packet(Hello(error, viewless, confine.lacking() if error is None else ())))
        if error is None:
            zygote.serve()
    zygote.end()


if __name__ == "__main__":
    main()
