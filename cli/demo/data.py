"""Real data that nobody made for us: the Python files of a folder, by default the running Python's standard library.

Lives here: the copy that nodes have "unsealed", and the CID that it goes by. Does not live here: who reads it.
"""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cli.errors import UsageProblem

_LEFT_OUT = {"site-packages", "dist-packages", "__pycache__"}
_CIDV1_RAW_SHA256 = bytes((0x01, 0x55, 0x12, 0x20))  # https://github.com/multiformats/cid: version, codec, multihash


@dataclass(frozen=True, slots=True)
class Sample:
    """A tree of Python files below ``root / cid``."""

    root: Path
    cid: str
    listing: bytes  # what the CID is made of: lines as of ``sha256sum``, in the order of their names
    files: int
    bytes: int


def standard_library() -> Path:
    """Where the running Python has its own modules."""
    return Path(sysconfig.get_path("stdlib"))


def copied(source: Path, root: Path) -> Sample:
    """Copy the ``.py`` files of ``source``, read-only, to a folder in ``root`` that is named by what is in it.

    Raises UsageProblem when there are none.
    """
    staged = root / "staged"
    shutil.rmtree(staged, ignore_errors=True)
    lines, size = [], 0
    for name in sorted(_python_files(source), key=os.fsencode):
        content = (source / name).read_bytes()
        target = staged / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        target.chmod(0o444)
        lines.append(f"{hashlib.sha256(content).hexdigest()}  {name}\n")
        size += len(content)
    if not lines:
        raise UsageProblem(f"{source}: no Python files there", "name a folder that has some with --data")
    listing = "".join(lines).encode()
    cid = cid_of(listing)
    if (root / cid).exists():
        shutil.rmtree(staged)
    else:
        staged.rename(root / cid)
    return Sample(root, cid, listing, len(lines), size)


def cid_of(content: bytes) -> str:
    """The CIDv1 of a block of raw bytes, in base32: ``bafkrei…``."""
    binary = _CIDV1_RAW_SHA256 + hashlib.sha256(content).digest()
    return "b" + base64.b32encode(binary).decode().lower().rstrip("=")


def _python_files(source: Path) -> Iterator[Path]:
    """Relative names of regular files; links are not followed."""
    for folder, folders, names in os.walk(source):
        folders[:] = [name for name in folders if name not in _LEFT_OUT]
        for name in names:
            path = Path(folder, name)
            if name.endswith(".py") and path.is_file() and not path.is_symlink() and os.access(path, os.R_OK):
                yield path.relative_to(source)
