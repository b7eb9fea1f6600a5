"""Files and folders at the edges of what importers do, by name; the same for our importer and for Kubo's.

Does not live here: the CIDs that they have (``tests/unit/test_layout.py``).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from node.limits import KiB, MiB

Tree = dict[str, bytes | None]  # None: an empty folder

_PATTERN = bytes((step * step * 7 + step) % 251 for step in range(251 * 61))

FILES = {
    "empty": 0,
    "one byte": 1,
    "a chunk less one": 256 * KiB - 1,
    "a chunk": 256 * KiB,
    "a chunk and one": 256 * KiB + 1,
    "a large chunk": 1 * MiB,
    "a large chunk and one": 1 * MiB + 1,
    "a full node": 174 * 256 * KiB,
    "a full node and one": 174 * 256 * KiB + 1,
    "two full nodes": 2 * 174 * 256 * KiB,
    "two full nodes and one": 2 * 174 * 256 * KiB + 1,
}


def bytes_of(size: int) -> bytes:
    """So many bytes, no two chunks of a profile alike."""
    return (_PATTERN * (size // len(_PATTERN) + 1))[:size]


def _numbered(count: int) -> Tree:
    return {f"{number:05d}": b"%d" % number for number in range(count)}


def _long_names(count: int, length: int, longer: int) -> Tree:
    """Empty files with names of so many bytes, and one byte more for some of them."""
    return {f"{number:x}".rjust(length + (number < longer), "n"): b"" for number in range(count)}


def _under_a_name(tree: Tree, name: str) -> Tree:
    return {f"{name}/{path}": content for path, content in tree.items()}


FOLDERS: dict[str, Callable[[], Tree]] = {
    "no entries": lambda: {".": None},
    "a wrapped file": lambda: {"file.txt": b"hello\n"},
    "nested": lambda: {
        "a/b/empty": None,
        "a/x y.txt": b"hi",
        "a/\u00fcn\u00ef code/\u65e5\u672c/large": bytes_of(300 * KiB),
        "Z": b"",
        ".hidden": b"h",
        "\U0001f600": b"1",
        "\uffff": b"2",
        "back\\slash\n": b"3",
    },
    "not yet sharded": lambda: _numbered(5_000),
    "sharded": lambda: _numbered(7_000),
    "sharded in sharded": lambda: _numbered(6_500) | _under_a_name(_numbered(6_500), "below") | {"zz/file": b"1"},
    # The estimate of each profile at its limit, and one byte over it.
    "v0 at the limit": lambda: _long_names(1_024, 222, 0),
    "v0 over the limit": lambda: _long_names(1_024, 222, 1),
    "v1 at the limit": lambda: _long_names(1_024, 220, 0),
    "v1 over the limit": lambda: _long_names(1_024, 220, 1),
    "2025 at the limit": lambda: _long_names(1_065, 200, 150),
    "2025 over the limit": lambda: _long_names(1_065, 200, 151),
    "2025 over it by a folder's size": lambda: (
        _long_names(1_064, 200, 150) | {"f" * 199 + "/large": bytes_of(300 * KiB)}
    ),
}


def planted(folder: Path, tree: Tree) -> Path:
    """The tree, in a new folder."""
    folder.mkdir()
    for path, content in tree.items():
        there = folder / path
        if content is None:
            there.mkdir(parents=True, exist_ok=True)
        else:
            there.parent.mkdir(parents=True, exist_ok=True)
            there.write_bytes(content)
    return folder


def files_in(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, by its path there."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
