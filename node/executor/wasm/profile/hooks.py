"""What the view asks Python: randomness, sleeping, listings, numbers of files, and the end of a run.

Hooks are defined once for each worker and work on the run under way. A bad pointer is the program's error (``fault``).
Does not live here: the state and the rules behind each (``clock``, ``inodes``, ``listing``, ``randomness``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from wasmtime import FuncType, Global, Linker, Memory, Store, ValType

from node.executor.wasm.profile.calls import FAULT, INVAL, SUCCESS, TROUBLE
from node.executor.wasm.profile.clock import EVENT_BYTES, SUBSCRIPTION_BYTES, Overslept, polled
from node.executor.wasm.profile.host import PATH_BYTES_MAX, Host
from node.executor.wasm.profile.inodes import Inodes
from node.executor.wasm.profile.listing import Listing, Listings, TooLong
from node.executor.wasm.profile.randomness import Randomness

_POLLED_MAX = 4096  # More subscriptions at once are refused (``inval``).
_U32, _U64 = 2**32 - 1, 2**64 - 1  # wasmtime gives integers with a sign.


class HostTrouble(Exception):
    """This machine could not do what the program asked for; the text names the error."""


class Stopped(Exception):
    """The program asked for what no node gives."""

    def __init__(self, code: Literal["trap", "memory"], reason: str) -> None:
        super().__init__(reason)
        self.code: Literal["trap", "memory"] = code
        self.reason = reason


class Run:
    """One run's state."""

    def __init__(self, store: Store, host: Host, seed: str) -> None:
        self.store = store
        self.host = host
        self.randomness = Randomness(seed)
        self.inodes = Inodes()
        self.listings = Listings()
        self.going: int | None = None  # the host's number of what is being deleted

    def place(self, memory: Memory, now: Global) -> None:
        """The program's memory and the clock, once there are any."""
        self.memory, self.now = memory, now

    def holds(self, *spans: tuple[int, int]) -> bool:
        """Whether these places and sizes lie in the program's memory."""
        end = self.memory.data_len(self.store)
        return all(at + size <= end for at, size in spans)

    def read(self, at: int, size: int) -> bytes:
        """What lies there."""
        return bytes(self.memory.read(self.store, at, at + size))

    def write(self, data: bytes, at: int) -> None:
        """Put it there."""
        self.memory.write(self.store, data, at)


class Hooks:
    """The functions, over the run that ``begin`` was last told of."""

    def __init__(self, linker: Linker) -> None:
        hooks: tuple[tuple[Callable[..., int | None], str, str], ...] = (
            (self.trouble, "i", ""),
            (self.number, "ll", "l"),
            (self.closed, "i", ""),
            (self.renumbered, "ii", ""),
            (self.going, "iii", ""),
            (self.gone, "", ""),
            (self.random_get, "ii", "i"),
            (self.poll_oneoff, "iiii", "i"),
            (self.fd_readdir, "iiili", "i"),
        )
        for hook, params, results in hooks:
            linker.define_func("hook", hook.__name__, FuncType(_types(params), _types(results)), hook)

    def begin(self, run: Run) -> None:
        """From here on it is this one."""
        self._run = run

    def trouble(self, errno: int) -> None:
        """An error of this machine. Raises HostTrouble."""
        raise HostTrouble(TROUBLE[errno])

    def number(self, real: int, links: int) -> int:
        """What stands for a file's inode."""
        return self._run.inodes.number(real & _U64, links)

    def closed(self, descriptor: int) -> None:
        """A descriptor is no more."""
        self._run.listings.close(descriptor)

    def renumbered(self, old: int, new: int) -> None:
        """A descriptor has taken the place of another."""
        self._run.listings.renumber(old, new)

    def going(self, folder: int, path: int, size: int) -> None:
        """A name may be deleted: whose it is can be seen only before."""
        run, path, size = self._run, path & _U32, size & _U32
        run.going = None
        if size <= PATH_BYTES_MAX and run.holds((path, size)):
            run.going = run.host.last_name_of(folder, run.read(path, size))

    def gone(self) -> None:
        """It was."""
        if self._run.going is not None:
            self._run.inodes.forget(self._run.going)

    def random_get(self, at: int, size: int) -> int:
        """See WASI."""
        run, at, size = self._run, at & _U32, size & _U32
        if not run.holds((at, size)):
            return FAULT
        for piece in run.randomness.pieces(size):
            run.write(piece, at)
            at += len(piece)
        return SUCCESS

    def poll_oneoff(self, asked: int, events: int, count: int, used: int) -> int:
        """See WASI. Raises Stopped."""
        run, asked, events, count, used = self._run, asked & _U32, events & _U32, count & _U32, used & _U32
        if not 0 < count <= _POLLED_MAX:
            return INVAL
        if not run.holds((asked, SUBSCRIPTION_BYTES * count), (events, EVENT_BYTES * count), (used, 4)):
            return FAULT
        try:
            found, now = polled(run.read(asked, SUBSCRIPTION_BYTES * count), run.now.value(run.store))
        except Overslept:
            raise Stopped("trap", "it sleeps past the end of virtual time, in the year 2262") from None
        run.now.set_value(run.store, now)
        run.write(found, events)
        run.write((len(found) // EVENT_BYTES).to_bytes(4, "little"), used)
        return SUCCESS

    def fd_readdir(self, descriptor: int, at: int, room: int, cookie: int, used: int) -> int:
        """See WASI. Raises HostTrouble, Stopped."""
        run, at, room, used = self._run, at & _U32, room & _U32, used & _U32
        if not run.holds((at, room), (used, 4)):
            return FAULT
        listing = self._begun(descriptor) if cookie == 0 else run.listings.get(descriptor) or self._begun(descriptor)
        if isinstance(listing, int):
            return listing
        page = listing.page(cookie & _U64, room)
        run.write(page, at)
        run.write(len(page).to_bytes(4, "little"), used)
        return SUCCESS

    def _begun(self, descriptor: int) -> Listing | int:
        """The listing as it is now; or the errno."""
        run = self._run
        try:
            found = run.host.listing(descriptor)
            if isinstance(found, int):
                return self._checked(found)
            listing = Listing(found, run.inodes.number)
            run.listings.keep(descriptor, listing)
        except TooLong:
            raise Stopped("memory", "the folders that it lists have more entries than can be sorted") from None
        return listing

    def _checked(self, errno: int) -> int:
        if errno in TROUBLE:
            self.trouble(errno)
        return errno


def _types(letters: str) -> list[ValType]:
    return [ValType.i32() if letter == "i" else ValType.i64() for letter in letters]
