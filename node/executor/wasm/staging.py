"""Inputs as folders, because WASI opens folders alone.

A folder is shown as it lies. A single file at ``/inputs/a.txt`` is put into a private folder that is shown as
``/inputs``: as a hard link (which costs nothing, and the guest cannot write through a read-only folder), or, where the
filesystem or the file's owner forbids that, as a copy (with shared blocks where the filesystem can). All of it runs in
the worker, so that a slow disk holds up nobody else.
Does not live here: the removal after a killed worker (``executor``).
"""

from __future__ import annotations

import fcntl
import os
import posixpath
import shutil
import stat
from collections.abc import Iterable, Sequence

from node import limits

COPY_BYTES_MAX = 1 * limits.GiB  # A larger file that cannot be linked is refused.

_FICLONE = 0x40049409  # linux/fs.h


class Unusable(Exception):
    """An input that cannot be shown; the text says what to do, and names guest paths alone."""


def prepare(
    inputs: Iterable[tuple[bytes, str]], taken: Sequence[str], folder: bytes
) -> tuple[tuple[tuple[str, str], ...], bool]:
    """(host folder, guest path) for each, in their order, and whether ``folder`` was made for it.

    ``taken`` are the guest paths of outputs. Raises Unusable.
    """
    shown: dict[str, str] = {}
    staged: dict[str, bytes] = {}
    for host, guest in inputs:
        try:
            if stat.S_ISDIR(_kind(host, guest)):
                _show(shown, guest, _text(host, guest), taken)
                continue
            parent, name = posixpath.split(guest)
            if parent not in staged:
                staged[parent] = os.path.join(folder, b"%d" % len(staged))
                _show(shown, parent, _text(staged[parent], guest), taken)
                os.makedirs(staged[parent], mode=0o700)
            _place(host, os.path.join(staged[parent], name.encode()), guest)
        except OSError as error:
            raise Unusable(f"the input at {guest} cannot be used: {error.strerror}") from error
    return tuple((host, guest) for guest, host in shown.items()), bool(staged)


def clear(folder: bytes) -> None:
    """Remove what ``prepare`` made."""
    shutil.rmtree(folder, ignore_errors=True)


def _show(shown: dict[str, str], guest: str, host: str, taken: Sequence[str]) -> None:
    if guest in shown or guest in taken:
        raise Unusable(f"two mounts meet at {guest}; give a single file a folder of its own, as in {guest}/NAME/FILE")
    shown[guest] = host


def _kind(host: bytes, guest: str) -> int:
    mode = os.stat(host).st_mode
    if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
        raise Unusable(f"the input at {guest} is neither a file nor a folder")
    return mode


def _text(host: bytes, guest: str) -> str:
    try:
        return host.decode()
    except UnicodeDecodeError as error:
        raise Unusable(f"the input at {guest} lies at a path that is not UTF-8") from error


def _place(host: bytes, target: bytes, guest: str) -> None:
    try:
        os.link(host, target)  # Of a symlink some versions of Python link the link.
    except OSError:
        _copy(host, target, guest)
    else:
        if os.path.islink(target):
            os.unlink(target)
            _copy(host, target, guest)


def _copy(host: bytes, target: bytes, guest: str) -> None:
    with open(host, "rb") as source, open(target, "xb") as copy:
        try:
            fcntl.ioctl(copy, _FICLONE, source.fileno())
        except OSError:
            size = os.fstat(source.fileno()).st_size
            if size > COPY_BYTES_MAX:
                raise Unusable(
                    f"the input at {guest} is a single file of {size} bytes that cannot be linked; give its folder"
                ) from None
            shutil.copyfileobj(source, copy)
