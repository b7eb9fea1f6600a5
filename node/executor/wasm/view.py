"""A view of inputs for one run: single files and parts of folders, mounted where the program sees them.

It costs the same whatever lies in them: nothing is read, linked or copied. It lies in memory, in a mount namespace of
the worker's own, so that there is nothing to remove, however the worker ends. It is made before the worker gives up
what it needs for that, and so before it touches anything that others wrote.
Does not live here: the calls (``mounts``), links and copies for machines that allow no mounts (``staging``).
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Sequence
from types import TracebackType

from node.executor.wasm import mounts, staging
from node.executor.wasm.protocol import Input
from node.executor.wasm.staging import Shown, Unusable

ENTRIES_MAX = 200_000  # Files, and folders that they lie in. A run with more is refused.

_ANYTHING = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_FOLDER = _ANYTHING | os.O_DIRECTORY


def made(inputs: Sequence[Input], taken: Sequence[str], folder: bytes) -> Shown | None:
    """(host folder, guest path) for each, from now on visible to this process alone, below ``folder``, which exists.

    ``taken`` are the guest paths of outputs. None where this machine does not allow it: then nothing has changed.
    Raises Unusable.
    """
    try:
        gained = mounts.unshare()
    except mounts.Refused:
        return None
    try:
        mounts.mount_empty(folder, ENTRIES_MAX)
        return _filled(inputs, taken, folder)
    except mounts.Refused:
        with contextlib.suppress(mounts.Refused):  # It is the first that was refused.
            mounts.unmount(folder)
        return None
    finally:
        if gained:
            mounts.drop_capabilities()


def _filled(inputs: Sequence[Input], taken: Sequence[str], folder: bytes) -> Shown:
    with _Bound() as bound:
        shown = staging.arrange(inputs, taken, folder, bound.place, follow_links=False)
    mounts.seal(folder)
    return shown


class _Bound:
    """Files and folders shown elsewhere. Below an input every name is opened in the one before, and none may be a link:
    what is mounted is what was looked at, whoever swaps names meanwhile."""

    def __init__(self) -> None:
        self._roots: dict[bytes, int] = {}

    def __enter__(self) -> _Bound:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for root in self._roots.values():
            os.close(root)

    def place(self, source: Input, target: bytes) -> None:
        """Show it at ``target``, whose folder exists. Raises OSError, Unusable, mounts.Refused."""
        host, guest, within = source.host, source.guest, source.within
        file = os.open(host, _ANYTHING) if within is None else self._opened(host, guest, within)
        try:
            mode = os.fstat(file).st_mode
            if stat.S_ISDIR(mode):
                os.mkdir(target, 0o700)
            elif stat.S_ISREG(mode):
                os.mknod(target, stat.S_IFREG | 0o400)
            else:
                raise Unusable(f"the input at {guest} is neither a file nor a folder")
            mounts.bind(file, target)
        finally:
            os.close(file)

    def _opened(self, host: bytes, guest: str, within: str) -> int:
        """Below ``within`` ``guest`` names the same as ``host`` does below the input."""
        below = guest[len(within) :].encode()
        root = host[: -len(below)]
        assert host.endswith(below)
        if root not in self._roots:
            self._roots[root] = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        *folders, last = below[1:].split(b"/")
        return _below(self._roots[root], folders, last)


def _below(folder: int, names: Sequence[bytes], last: bytes) -> int:
    opened: list[int] = []
    try:
        for name in names:
            folder = os.open(name, _FOLDER, dir_fd=folder)
            opened.append(folder)
        return os.open(last, _ANYTHING, dir_fd=folder)
    finally:
        for each in opened:
            os.close(each)
