"""Data served straight from a storage provider's unsealed copies: a path template, and what lies at that path.

The template is Jinja2 over ``cid``; Go's ``{{.Cid}}`` and ``{{.CID}}`` are read as the same. Nothing is copied and
nothing is written. The literal text before the first expression fixes the folder that no CID may lead out of.

The copy itself may be one link, as sealing software makes them: if the owner of its folder, this process's user or root
made it, it may lead to a file or folder anywhere but the node's own data folder, ``/``, ``/proc``, ``/sys`` and
``/dev``. Links inside a copy lead nowhere out of it. Devices inside a copy, which root alone can make, would be opened
by a job: a network share is mounted ``nodev``.
Does not live here: walking (``tree``), whether bytes give their CID (``confirmed``), the way to IPFS (``combo``).
"""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

import jinja2
import jinja2.meta
from jinja2.sandbox import ImmutableSandboxedEnvironment

from node.ambient import Offload
from node.errors import Absent, BadTemplate, StorageError, Unconfirmed
from node.model import CidInput, PeerId
from node.storage import tree
from node.storage.base import Entry, Prepared
from node.storage.confirmed import Confirmed
from node.storage.ipfs.cid import Cid
from node.storage.ipfs.paths import split_path

_GO_FIELD = re.compile(r"\{\{-?\s*\.(\w+)\s*-?\}\}")
_SAMPLE = "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi"
_FLAG = "--filecoin-unsealed-path"
# What an expression can raise over a name that its author did not think of, as in ``cid.index("-")``.
_OF_TEMPLATES = (jinja2.TemplateError, ValueError, TypeError, LookupError, ArithmeticError)

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Check:
    """How bytes are checked against their CID, and whether ``always`` or where a job asks for it."""

    confirmed: Confirmed
    always: bool = False


class _Copy(NamedTuple):
    """Of a whole CID, of which a job may name a part."""

    name: str  # the CID
    whole: Path
    below: tuple[str, ...]

    @property
    def named(self) -> Path:
        """What the job names."""
        return self.whole.joinpath(*self.below)


class FilecoinUnsealed:
    """Storage over unsealed copies, never of ``private``. Raises BadTemplate for a template that cannot be used."""

    name = "filecoin_unsealed"

    def __init__(
        self, template: str, offload: Offload, private: Path | None = None, check: Check | None = None
    ) -> None:
        self._template = _parsed(template)
        self._prefix = _fixed_prefix(template)
        self._offload = offload
        self._check = Check(Confirmed(None, offload)) if check is None else check
        self._never = tree.NEVER if private is None else (*tree.NEVER, _real(private))
        real = _real(self.folder)
        if any(real.is_relative_to(place) for place in self._never):
            raise BadTemplate(f"{_FLAG} {template!r}: keep copies elsewhere, {self.folder} is no place for data")
        try:
            self.path_of(_SAMPLE)
        except StorageError as error:
            raise BadTemplate(f"{_FLAG} {template!r}: {error}") from error

    @property
    def folder(self) -> Path:
        """What all copies lie below."""
        return Path(self._prefix)

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
            raise StorageError(f"{cid!r} leads out of the folder of copies")
        return Path(path)

    async def size(self, ref: CidInput) -> int:
        """See Storage."""
        return await self._read(ref, tree.size)

    async def to_fetch(self, ref: CidInput) -> int:
        """See Storage: nothing is fetched. Where bytes are checked this takes as long as reading them, once.

        Raises Unconfirmed.
        """
        await self._copy(ref)
        return 0

    async def list(self, ref: CidInput) -> tuple[Entry, ...]:
        """See Storage: files and folders; links and special files are left out."""
        return await self._read(ref, tree.listed)

    @asynccontextmanager
    async def prepared(self, ref: CidInput, origin: PeerId) -> AsyncIterator[Prepared]:
        """See Storage: the path itself, or where it leads if it is a link."""
        yield Prepared(await self._copy(ref), self.name, self._offload)

    async def _copy(self, ref: CidInput) -> Path:
        """Where it lies, checked if that is asked for."""
        copy = await self._unchecked(ref)
        if ref.verify or self._check.always:
            await self._confirm(copy, ref)
        return copy.named

    async def _unchecked(self, ref: CidInput) -> _Copy:
        """Absent where what is named is not in it, too; under what is no path nothing lies."""
        absent = Absent(f"no unsealed copy of {ref.cid} is here")
        try:
            name, below = split_path(ref.cid)
            path = self.path_of(name)
        except (StorageError, ValueError) as error:
            raise absent from error
        with _said_of(ref):
            whole = await self._offload(_found, path, below, self._never)
        if whole is None:
            raise absent
        return _Copy(name, whole, below)

    async def _confirm(self, copy: _Copy, ref: CidInput) -> None:
        try:
            if await self._check.confirmed.confirms(copy.whole, Cid.parse(copy.name)):
                return
        except StorageError as error:
            problem = str(error).replace(str(copy.whole), copy.name)  # Where copies lie is the operator's business.
            raise Unconfirmed(f"the unsealed copy of {ref.cid} could not be checked: {problem}") from error
        except ValueError as error:
            raise Unconfirmed(f"the unsealed copy of {ref.cid} cannot be checked: {error}") from error
        raise Unconfirmed(f"the unsealed copy of {ref.cid} is here but its bytes do not give that CID")

    async def _read(self, ref: CidInput, look: Callable[[Path], _T]) -> _T:
        copy = await self._unchecked(ref)
        with _said_of(ref):
            return await self._offload(look, copy.named)


@contextmanager
def _said_of(ref: CidInput) -> Iterator[None]:
    try:
        yield
    except StorageError as error:
        raise StorageError(f"the unsealed copy of {ref.cid} {error}") from error


def _found(path: Path, below: tuple[str, ...], never: tuple[Path, ...]) -> Path | None:
    """Where the copy lies; None if there is none, or nothing of that name in it."""
    copy = _led(path)
    if not tree.usable(copy):
        if copy is not path:
            raise StorageError("is a link that leads nowhere")
        return None
    real = _real(copy)
    if any(real.is_relative_to(place) or place.is_relative_to(real) for place in never):
        raise StorageError("is no data: it lies among this machine's own files, or around them")
    if below and not (tree.reached(copy, below) and tree.usable(copy.joinpath(*below))):
        return None
    return copy


def _led(path: Path) -> Path:
    """The path, or where the one link that it may be leads to."""
    try:
        target = path.parent / os.readlink(path)
        owner, allowed = path.lstat().st_uid, {0, os.geteuid(), path.parent.stat().st_uid}
    except OSError:  # No link; if it is worse than that, whoever opens it says so.
        return path
    if owner not in allowed:
        raise StorageError("is a link of somebody who does not own the folder of copies")
    if os.path.islink(target):
        raise StorageError("is a link to another link")
    return _real(target)


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))  # ``Path.resolve`` raises on loops.


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
