"""Data served straight from a storage provider's unsealed copies: a path template, and what lies at that path.

The template is Jinja2 over ``cid``; Go's ``{{.Cid}}`` and ``{{.CID}}`` are read as the same. Nothing is copied and
nothing is written. The literal text before the first expression fixes the folder that no CID may lead out of.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from operator import attrgetter
from pathlib import Path

import jinja2
import jinja2.meta
from jinja2.sandbox import ImmutableSandboxedEnvironment

from node.ambient import Offload
from node.errors import BadTemplate, StorageError
from node.model import CidInput, PeerId
from node.storage.base import Entry, Prepared

_GO_FIELD = re.compile(r"\{\{-?\s*\.(\w+)\s*-?\}\}")
_SAMPLE = "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi"
_FLAG = "--filecoin-unsealed-path"
# What an expression can raise over a name that its author did not think of, as in ``cid.index("-")``.
_OF_TEMPLATES = (jinja2.TemplateError, ValueError, TypeError, LookupError, ArithmeticError)


class FilecoinUnsealed:
    """Storage over unsealed copies. Raises BadTemplate for a template that cannot be used."""

    name = "filecoin_unsealed"

    def __init__(self, template: str, offload: Offload) -> None:
        self._template = _parsed(template)
        self._prefix = _fixed_prefix(template)
        self._offload = offload
        try:
            self.path_of(_SAMPLE)
        except StorageError as error:
            raise BadTemplate(f"{_FLAG} {template!r}: {error}") from error

    def path_of(self, cid: str) -> Path:
        """The path that the template gives for a CID. Raises StorageError when that lies outside the fixed folder."""
        if "/" in cid or "\0" in cid or cid in (".", ".."):
            raise StorageError(f"{cid!r} is no CID: it holds a path")
        try:
            rendered = self._template.render(cid=cid)
        except _OF_TEMPLATES as error:
            raise StorageError(f"the unsealed path of {cid!r} cannot be made: {error}") from error
        path = os.path.normpath(rendered)
        if not path.startswith(self._prefix + "/") or ".." in rendered.split("/"):
            raise StorageError(f"{cid!r} leads out of {self._prefix}")
        return Path(path)

    async def has(self, ref: CidInput) -> bool:
        """See Storage."""
        return await self._offload(_exists, self.path_of(ref.cid))

    async def size(self, ref: CidInput) -> int:
        """See Storage."""
        return await self._offload(_size, self.path_of(ref.cid))

    async def to_fetch(self, ref: CidInput) -> int:
        """See Storage: nothing is fetched."""
        self.path_of(ref.cid)
        return 0

    async def list(self, ref: CidInput) -> tuple[Entry, ...]:
        """See Storage."""
        return await self._offload(_listed, self.path_of(ref.cid))

    @asynccontextmanager
    async def prepared(self, ref: CidInput, origin: PeerId) -> AsyncIterator[Prepared]:
        """See Storage: the path itself."""
        path = self.path_of(ref.cid)
        if not await self._offload(_exists, path):
            raise StorageError(f"the unsealed copy of {ref.cid} is no longer at {path}")
        yield Prepared(path, self.name)


def _parsed(template: str) -> jinja2.Template:
    environment = ImmutableSandboxedEnvironment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    try:
        source = _GO_FIELD.sub(_from_go, template)
        unknown = jinja2.meta.find_undeclared_variables(environment.parse(source)) - {"cid"}
        if unknown:
            raise BadTemplate(f"{_FLAG} {template!r}: unknown field {sorted(unknown)[0]!r}; the only field is cid")
        return environment.from_string(source)
    except jinja2.TemplateError as error:
        raise BadTemplate(
            f"{_FLAG} {template!r}: {error}; expected a path like '/var/lib/data/{{{{ cid }}}}'"
        ) from error


def _from_go(match: re.Match[str]) -> str:
    if match[1] not in ("Cid", "CID"):
        raise BadTemplate(f"{_FLAG} {match[0]!r}: unknown field {match[1]!r}; the only field is cid")
    return "{{ cid }}"


def _fixed_prefix(template: str) -> str:
    literal, found, _ = template.partition("{{")
    if not found:
        raise BadTemplate(f"{_FLAG} {template!r}: it must name the CID, as in '/var/lib/data/{{{{ cid }}}}'")
    folder = literal.rpartition("/")[0]
    if not literal.startswith("/") or not folder or "{%" in literal or ".." in literal.split("/"):
        raise BadTemplate(
            f"{_FLAG} {template!r}: it must begin with an absolute folder, as in '/var/lib/data/{{{{ cid }}}}'"
        )
    return os.path.normpath(folder)


def _exists(path: Path) -> bool:
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise StorageError(f"{path} cannot be used: {error.strerror}") from error
    if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
        raise StorageError(f"{path} is neither a folder nor a regular file")
    if not os.access(path, os.R_OK | (os.X_OK if stat.S_ISDIR(mode) else 0)):
        raise StorageError(f"{path} may not be read by this node")
    return True


def _size(path: Path) -> int:
    """Sum of the sizes of regular files; links are not followed, except that the copy itself may be one."""
    try:
        if not path.is_dir():
            return path.stat().st_size
        return sum(size for folder in _folders(path) for size in _sizes(folder))
    except OSError as error:
        raise StorageError(f"{error.filename or path} cannot be read: {error.strerror}") from error


def _listed(path: Path) -> tuple[Entry, ...]:
    """The tree, links left out, except that the copy itself may be one."""
    try:
        if not path.is_dir():
            return (Entry("", path.stat().st_size, is_folder=False),)
        entries = [Entry("", 0, is_folder=True)]
        for folder in _folders(path):
            entries += _entries(folder, os.path.relpath(folder, path))
    except OSError as error:
        raise StorageError(f"{error.filename or path} cannot be read: {error.strerror}") from error
    return tuple(sorted(entries, key=attrgetter("path")))


def _entries(folder: str, relative: str) -> Iterator[Entry]:
    with os.scandir(folder) as entries:
        for entry in entries:
            path = entry.name if relative == "." else f"{relative}/{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                yield Entry(path, 0, is_folder=True)
            elif entry.is_file(follow_symlinks=False):
                yield Entry(path, entry.stat(follow_symlinks=False).st_size, is_folder=False)


def _folders(root: Path) -> Iterator[str]:
    waiting = [os.fspath(root)]
    while waiting:
        folder = waiting.pop()
        yield folder
        with os.scandir(folder) as entries:
            waiting.extend(entry.path for entry in entries if entry.is_dir(follow_symlinks=False))


def _sizes(folder: str) -> list[int]:
    with os.scandir(folder) as entries:
        files = [entry for entry in entries if entry.is_file(follow_symlinks=False)]
        return [entry.stat(follow_symlinks=False).st_size for entry in files]
