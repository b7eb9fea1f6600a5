"""The node's end of the zygote: starts it at the first need, has it fork children, knows when each has ended.

A child is killed through its pidfd, so that no recycled process id is ever hit, and it counts as ended when the kernel
says so, not when its socket closes. When a zygote dies its children die (PDEATHSIG), whoever waits for one is told, and
the next need starts another.
Does not live here: what children are for (``executor``, ``modules``).
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import trio

import node
from node.errors import DriverUnavailable
from node.executor.wasm.channel import Channel
from node.executor.wasm.protocol import (
    PACKET_BYTES_MAX,
    CompilerSpec,
    Exited,
    FromZygote,
    Hello,
    Spawn,
    Spawned,
    WorkerSpec,
    from_zygote,
    packet,
)

START_S = 30.0  # A zygote, or a fork, that takes longer has failed.
RETRY_S = 60.0  # After a start that failed the engine is unavailable for so long.
END_S = 30.0  # How long the kernel may take to end a killed process before the node goes on without it.

_NOT_SERVING = "the WASM engine is not running; the node is starting or stopping"

log = logging.getLogger("quorate.executor.wasm")


class Child:
    """A forked process, from the request to the last of it. Whoever asked for it calls ``end`` or ``dismiss``."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.status: int | None = None  # Exit code, or the signal negated; None: not known, or not ended.
        self.error: str | None = None
        self.spawned = trio.Event()
        self.ended = trio.Event()
        self._pidfd = -1

    @property
    def pidfd(self) -> int:
        """Valid from ``spawned`` to ``ended``, else -1."""
        return self._pidfd

    @property
    def over(self) -> bool:
        """Whether it has ended, by the kernel's own word: the zygote's may still be on its way."""
        if self._pidfd < 0:
            return True
        asked = select.poll()
        asked.register(self._pidfd, select.POLLIN)
        return bool(asked.poll(0))

    def begin(self, pidfd: int) -> None:
        """The zygote has forked it."""
        self._pidfd = pidfd
        self.spawned.set()

    def refuse(self, error: str) -> None:
        """It will never be."""
        self.error = error
        self.spawned.set()
        self.finish(None)

    def finish(self, status: int | None) -> None:
        """It has ended."""
        if self.ended.is_set():
            return
        self.status = status
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1
        self.ended.set()

    def kill(self) -> None:
        """SIGKILL; nothing when it has ended."""
        if self._pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):  # A zombie: the word of its end is on the way.
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def dismiss(self) -> None:
        """Kill what does nothing, and do not wait."""
        self.kill()
        self.channel.close()

    async def end(self) -> None:
        """Kill and wait; not cancelled half-way. What it had said before can still be read until then."""
        self.dismiss()
        with trio.move_on_after(END_S, shield=True):
            await self.ended.wait()
            return
        log.error("process_does_not_end")


class Processes:
    """Children by way of one zygote at a time. ``serve`` is its whole life."""

    def __init__(self) -> None:
        self._wanted = trio.Event()
        self._zygote: _Zygote | None = None
        self._life = trio.Event()
        self._serving = False
        self._try_again_at = -math.inf
        self._failure = ""
        self._said_viewless = False

    def check(self) -> None:
        """Raise DriverUnavailable unless ``serve`` is running, and when the last start failed just now."""
        if not self._serving:
            raise DriverUnavailable(_NOT_SERVING)
        if self._zygote is not None and self._zygote.error is not None and not self._zygote.started:
            raise DriverUnavailable(self._zygote.error)
        if trio.current_time() < self._try_again_at:
            raise DriverUnavailable(self._failure)

    async def begun(self) -> None:
        """Wait for ``serve``. Raises DriverUnavailable when it is over."""
        await self._life.wait()
        self.check()

    async def serve(self) -> None:
        """Start a zygote when one is wanted, again when it has died; cancelling ends it and every child."""
        self._serving = True
        self._life.set()
        try:
            while True:
                await self._wanted.wait()
                zygote = self._current()
                try:
                    await zygote.serve()
                finally:
                    self._zygote, self._wanted = None, trio.Event()
                    zygote.gone.set()
                if not zygote.started:
                    self._try_again_at, self._failure = trio.current_time() + RETRY_S, str(zygote.error)
                    log.error("zygote_does_not_start", extra={"reason": zygote.error})
                elif not zygote.leaving:
                    log.warning("zygote_ended")
        finally:
            self._serving = False
            self._current().never(_NOT_SERVING)

    def rest(self) -> None:
        """End the zygote when it has no children: an idle node stays small."""
        if self._zygote is not None and self._zygote.idle:
            self._zygote.hang_up()

    async def spawn(self, spec: WorkerSpec | CompilerSpec, files: Sequence[int] = ()) -> Child:
        """Fork a child that has its channel and ``files`` open. Raises DriverUnavailable."""
        return await (await self._ready()).spawn(spec, files)

    async def have_views(self) -> bool:
        """Whether this machine lets workers mount what a run is to see. Raises DriverUnavailable."""
        viewless = (await self._ready()).viewless
        if viewless is not None and not self._said_viewless:
            self._said_viewless = True
            log.warning("inputs_cannot_be_mounted", extra={"reason": viewless})
        return viewless is None

    async def _ready(self) -> _Zygote:
        """What rests has no children, and may begin to while we wait for it: then it is the next one."""
        while (zygote := await self._heard()).leaving:
            await zygote.gone.wait()
        if zygote.error is not None:
            raise DriverUnavailable(zygote.error)
        return zygote

    async def _heard(self) -> _Zygote:
        self.check()
        while self._zygote is not None and (self._zygote.leaving or self._zygote.error is not None):
            await self._zygote.gone.wait()
            self.check()
        zygote = self._current()
        self._wanted.set()
        await zygote.said_hello.wait()
        return zygote

    def _current(self) -> _Zygote:
        if self._zygote is None:
            self._zygote = _Zygote()
        return self._zygote


class _Zygote:
    """One zygote process."""

    def __init__(self) -> None:
        self.said_hello = trio.Event()
        self.error: str | None = None
        self.viewless: str | None = None
        self.started = False
        self.leaving = False
        self.gone = trio.Event()
        self._children: dict[int, Child] = {}
        self._number = 0
        self._control: socket.socket | None = None

    @property
    def idle(self) -> bool:
        """Whether nobody needs it."""
        return self.said_hello.is_set() and not self._children

    async def serve(self) -> None:
        """From its start to its end and that of its children."""
        control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with control:
            control.setblocking(False)
            try:
                with theirs:
                    process = _start(theirs)
            except OSError as error:
                self.never(f"the WASM engine does not start: {error.strerror}")
                return
            self._control = control
            try:
                await self._listen(control)
            finally:
                await self._end(process)

    def never(self, error: str) -> None:
        """It will not start: whoever waits for it is told."""
        self.error = error
        self.said_hello.set()

    def hang_up(self) -> None:
        """It ends, and ``serve`` with it."""
        self.leaving = True
        if self._control is not None:
            self._control.shutdown(socket.SHUT_RDWR)

    async def spawn(self, spec: WorkerSpec | CompilerSpec, files: Sequence[int]) -> Child:
        """See Processes.spawn. Not cancelled half-way: there would be a child that nobody knows."""
        try:
            ours, theirs = socket.socketpair()
        except OSError as error:
            raise DriverUnavailable(f"the WASM engine could not start a worker: {error.strerror}") from error
        child = Child(Channel(ours))
        self._number += 1
        self._children[self._number] = child
        with trio.move_on_after(START_S, shield=True) as scope:
            with theirs:
                await self._send(packet(Spawn(self._number, spec)), [theirs.fileno(), *files])
            await child.spawned.wait()
        if not child.spawned.is_set() or child.error is not None:
            child.channel.close()
        if scope.cancelled_caught:
            self.error = "the WASM engine does not answer"
            self.hang_up()
            raise DriverUnavailable(self.error)
        if child.error is not None:
            raise DriverUnavailable(f"the WASM engine could not start a worker: {child.error}")
        return child

    async def _send(self, data: bytes, files: Sequence[int]) -> None:
        while self._control is not None:
            try:
                socket.send_fds(self._control, [data], files)
            except BlockingIOError:
                await trio.lowlevel.wait_writable(self._control)
            except OSError:
                return  # It is gone; the end of ``_listen`` tells all who wait.
            else:
                return

    async def _listen(self, control: socket.socket) -> None:
        while True:
            await trio.lowlevel.wait_readable(control)
            try:
                data, files, _, _ = socket.recv_fds(control, PACKET_BYTES_MAX, 1, socket.MSG_CMSG_CLOEXEC)
            except BlockingIOError:
                continue
            except ConnectionResetError:
                return
            if not data:
                return
            self._hear(from_zygote(data), files)

    def _hear(self, message: FromZygote, files: Sequence[int]) -> None:
        match message:
            case Hello(error, viewless, lacking):
                if lacking:
                    log.warning("workers_less_confined", extra={"lacking": ", ".join(lacking)})
                self.started, self.viewless = error is None, viewless
                self.error = None if error is None else f"the WASM engine does not start: {error}"
                self.said_hello.set()
            case Spawned(number, error):
                if files:
                    self._children[number].begin(files[0])
                else:  # It ends when its channel is closed, if it is there at all.
                    self._children.pop(number).refuse(error or "this process has too many open files")
            case Exited(number, status) if number in self._children:
                self._children.pop(number).finish(status)
            case Exited():
                return

    async def _end(self, process: subprocess.Popen[bytes]) -> None:
        self._control = None
        what = "has ended; try again" if self.started else "does not start; its standard error says why"
        self.error = self.error or f"the WASM engine's process {what}"
        self.said_hello.set()
        with trio.move_on_after(END_S, shield=True):
            pidfd = os.pidfd_open(process.pid)
            for child in self._children.values():
                child.kill()
            process.kill()
            for child in self._children.values():
                if child.pidfd >= 0:
                    await trio.lowlevel.wait_readable(child.pidfd)
            await trio.lowlevel.wait_readable(pidfd)
            os.close(pidfd)
        process.poll()
        for child in self._children.values():
            child.refuse(self.error)
        self._children.clear()


def _start(control: socket.socket) -> subprocess.Popen[bytes]:
    """Fresh, with nothing of the node's environment but where the package is."""
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "node.executor.wasm.zygote", str(control.fileno())],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        env={"PYTHONPATH": str(Path(node.__file__).parent.parent)},
        cwd="/",
        pass_fds=(control.fileno(),),
        start_new_session=True,
    )
