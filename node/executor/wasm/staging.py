"""Inputs as folders, because WASI opens folders alone.

A folder is shown as it lies. A single file at ``/inputs/a.txt`` is put into a private folder that is shown as
``/inputs``; files and folders that are parts of ``/inputs`` are put there together, in their places, so that a program
that lists it sees exactly those. What belongs to the node, and everything on a machine that allows no mounts, is put
there as a hard link (which costs nothing, and the guest cannot write through a read-only folder), or, where the
filesystem or the file's owner forbids that, as a copy (with shared blocks where the filesystem can). A worker can write
to no file in that place (else nothing that it can only read could be linked there), so copies are made beside it and
moved. All of it runs in the worker, so that a slow disk holds up nobody else.
Does not live here: mounts (``view``), the removal after a killed worker (``executor``).
"""

from __future__ import annotations

import fcntl
import os
import posixpath
import shutil
import stat
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from node import limits
from node.executor.wasm.protocol import Input

COPY_BYTES_MAX = 1 * limits.GiB  # A run whose files cannot be linked and are larger together is refused.
STAGED_MAX = 100_000  # The same of one with more files and folders to put in place.

_FICLONE = 0x40049409  # linux/fs.h

PLACES, COPIES = b"places", b"copies"  # Below the worker's own folder.

Shown = tuple[tuple[str, str], ...]  # (host folder, guest path)
Placing = Callable[[Input, bytes], None]  # puts an input at a path, where nothing lies, in a folder that is there


class Unusable(Exception):
    """An input that cannot be shown; the text says what to do, and names guest paths alone."""


@dataclass(slots=True)
class _Staging:
    """What has been put in place for one run."""

    copies: bytes
    placed_at: dict[tuple[int, int], bytes] = field(default_factory=dict)  # by device and inode
    copied_bytes: int = 0
    placed: int = 0

    def place(self, source: Input, target: bytes) -> None:
        """By links or copies. Raises OSError, Unusable."""
        (_place_tree if os.path.isdir(source.host) else _place)(source.host, target, source.guest, self)


def make(folder: bytes) -> None:
    """The worker's own folder, before the first run. Raises OSError."""
    for place in (PLACES, COPIES):
        os.makedirs(os.path.join(folder, place), mode=0o700)


def prepare(inputs: Iterable[Input], taken: Sequence[str], folder: bytes) -> Shown:
    """See ``arrange``; by links or copies, in the worker's own folder."""
    place = _Staging(os.path.join(folder, COPIES)).place
    return arrange(inputs, taken, os.path.join(folder, PLACES), place, follow_links=True)


def arrange(
    inputs: Iterable[Input], taken: Sequence[str], folder: bytes, place: Placing, *, follow_links: bool
) -> Shown:
    """Where each is shown, in their order; what cannot be shown as it lies is put into ``folder`` by ``place``.

    ``taken`` are the guest paths of outputs. Raises Unusable, and what ``place`` does.
    """
    shown: dict[str, str] = {}
    staged: dict[str, bytes] = {}
    for each in inputs:
        host, guest, within = each.host, each.guest, each.within
        try:
            if stat.S_ISDIR(_kind(host, guest, follow_links=follow_links)) and within is None:
                _show(shown, guest, _text(host, guest), taken)
                continue
            parent = posixpath.dirname(guest) if within is None else within
            if parent not in staged:
                staged[parent] = os.path.join(folder, b"%d" % len(staged))
                _show(shown, parent, _text(staged[parent], guest), taken)
                os.mkdir(staged[parent], 0o700)
            target = os.path.join(staged[parent], guest[len(parent) :].lstrip("/").encode())
            os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)
            place(each, target)
        except OSError as error:
            raise Unusable(f"the input at {guest} cannot be used: {error.strerror}") from error
    return tuple((host, guest) for guest, host in shown.items())


def clear(folder: bytes) -> None:
    """Remove what ``prepare`` put in place."""
    places = os.path.join(folder, PLACES)
    for name in os.listdir(places):
        shutil.rmtree(os.path.join(places, name), ignore_errors=True)


def _show(shown: dict[str, str], guest: str, host: str, taken: Sequence[str]) -> None:
    if guest in shown or guest in taken:
        raise Unusable(f"two mounts meet at {guest}; give a single file a folder of its own, as in {guest}/NAME/FILE")
    shown[guest] = host


def _kind(host: bytes, guest: str, *, follow_links: bool) -> int:
    mode = os.stat(host, follow_symlinks=follow_links).st_mode
    if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
        raise Unusable(f"the input at {guest} is neither a file nor a folder")
    return mode


def _text(host: bytes, guest: str) -> str:
    try:
        return host.decode()
    except UnicodeDecodeError as error:
        raise Unusable(f"the input at {guest} lies at a path that is not UTF-8") from error


def _place_tree(host: bytes, target: bytes, guest: str, staging: _Staging, depth: int = 0) -> None:
    """A folder, with links in it as they are: they lead nowhere but inside of what the program sees."""
    _count(guest, staging)
    if depth > limits.RESULT_DEPTH_MAX:
        raise Unusable(f"the input at {guest} has folders more than {limits.RESULT_DEPTH_MAX} deep; give it whole")
    os.mkdir(target, 0o700)
    with os.scandir(host) as entries:
        for entry in entries:
            place = os.path.join(target, entry.name)
            if entry.is_symlink():
                _count(guest, staging)
                os.symlink(os.readlink(entry.path), place)
            elif entry.is_dir(follow_symlinks=False):
                _place_tree(entry.path, place, guest, staging, depth + 1)
            elif entry.is_file(follow_symlinks=False):
                _place(entry.path, place, guest, staging)


def _count(guest: str, staging: _Staging) -> None:
    staging.placed += 1
    if staging.placed > STAGED_MAX:
        raise Unusable(f"the run sees parts of an input at {guest} with more than {STAGED_MAX} files and folders")


def _place(host: bytes, target: bytes, guest: str, staging: _Staging) -> None:
    """A file that is there already gets a second name: whether it could be linked at first must not show."""
    _count(guest, staging)
    found = os.stat(host)
    first = staging.placed_at.setdefault((found.st_dev, found.st_ino), target)
    try:
        os.link(host if first == target else first, target)  # Of a symlink some versions of Python link the link.
    except OSError:
        _copy(host, target, guest, staging)
    else:
        if os.path.islink(target):
            os.unlink(target)
            _copy(host, target, guest, staging)


def _copy(host: bytes, target: bytes, guest: str, staging: _Staging) -> None:
    beside = os.path.join(staging.copies, b"copy")
    with open(host, "rb") as source, open(beside, "wb") as copy:
        try:
            fcntl.ioctl(copy, _FICLONE, source.fileno())
        except OSError:
            size = os.fstat(source.fileno()).st_size
            staging.copied_bytes += size
            if staging.copied_bytes > COPY_BYTES_MAX:
                raise Unusable(
                    f"the input at {guest}, a single file or a part of {size} bytes, can be neither mounted nor linked "
                    "on this node; give its whole folder, or have its operator allow user namespaces, or keep the copy "
                    "on the file system of the node's data folder"
                ) from None
            shutil.copyfileobj(source, copy)
    os.rename(beside, target)
