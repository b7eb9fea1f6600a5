"""Flags about data: what a job reads, how that is cut into shards, where results go; and what they mean in a spec.

Lives here: the flags, their forms, and reading small files to send along. Does not live here: the rules of each kind of
input (``node.spec_data``).
"""

from __future__ import annotations

import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, ClassVar

import typer

from cli.errors import UsageProblem
from cli.quantities import shown_size
from node import limits
from node.errors import InvalidSpec
from node.spec_data import file_name

DATA, CUT = "What it reads, and where results go", "How its inputs are cut"
INPUTS = "/inputs"

_FORM = "SOURCE:/PATH, where SOURCE is a CID, https://…, s3://…, az://… or file:///FOLDER-OF-THE-NODE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """What a job reads and leaves."""

    command: ClassVar[str] = "wasm run"  # whose help says what the flags take

    volumes: Annotated[
        list[str] | None,
        typer.Option(
            "-v",
            "--input-volumes",
            metavar="SOURCE:PATH",
            help="Data, read-only at PATH: a CID, https://…, s3://…, az://… or file:///FOLDER-OF-THE-NODE. Repeatable.",
            rich_help_panel=DATA,
        ),
    ] = None
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            "-i", "--inputs", metavar="SOURCE", help="The same at /inputs, which is then taken.", rich_help_panel=DATA
        ),
    ] = None
    urls: Annotated[
        list[str] | None,
        typer.Option(
            "-u",
            "--input-urls",
            metavar="URL",
            help="A file of the web, under its own name in the folder /inputs. Repeatable, not together with -i.",
            rich_help_panel=DATA,
        ),
    ] = None
    files: Annotated[
        list[str] | None,
        typer.Option(
            "--input-file",
            metavar="FILE[:PATH]",
            help="A small file of yours, sent along with the job; by default in /inputs, beside -i and -u in another"
            " folder: --input-file f:/other/f. Repeatable.",
            rich_help_panel=DATA,
        ),
    ] = None
    verify_inputs: Annotated[
        bool,
        typer.Option(
            "--verify-inputs", help="Unsealed copies are checked against their CID before use.", rich_help_panel=DATA
        ),
    ] = False
    publisher: Annotated[
        str,
        typer.Option(
            metavar="WHERE",
            help="Who keeps the results: vault (the node you ask), ipfs, local:FOLDER, s3://…, az://… or none.",
            rich_help_panel=DATA,
        ),
    ] = "vault"
    pattern: Annotated[
        str,
        typer.Option(
            "--sharding-glob-pattern",
            metavar="PATTERN",
            help="Each input path that matches is a piece of work: *.csv, **/*.csv, {a,b}/*; --dry-run shows them.",
            rich_help_panel=CUT,
        ),
    ] = ""
    base_path: Annotated[
        str,
        typer.Option(
            "--sharding-base-path",
            metavar="PATH",
            help="Where the pattern begins: the PATH of an input, or a folder in it.",
            rich_help_panel=CUT,
        ),
    ] = INPUTS
    batch_size: Annotated[
        int,
        typer.Option("--sharding-batch-size", metavar="N", help="How many of them make a shard.", rich_help_panel=CUT),
    ] = 1


def inputs_of(data: Data) -> list[dict[str, Any]]:
    """``$.inputs`` of the spec. Raises UsageProblem."""
    pairs = [_pair(text) for text in data.volumes or ()]
    pairs += [(source, f"{INPUTS}/") for source in data.inputs or ()]
    inputs = [_input(source, path, verify=data.verify_inputs) for source, path in pairs]
    inputs += [_of_the_web(url, f"{INPUTS}/") for url in data.urls or ()]
    return inputs + _inline(data.files or ())


def written(data: Data) -> tuple[str, ...]:
    """How each of ``inputs_of`` was asked for, in the same order: ``-i bafy…``; a folder of files by its first file."""
    folders: dict[str, str] = {}
    for text in data.files or ():
        folders.setdefault(str(_placed(text)[1].parent), text)
    flags = (("-v", data.volumes), ("-i", data.inputs), ("-u", data.urls), ("--input-file", folders.values()))
    return tuple(f"{flag} {text}" for flag, texts in flags for text in texts or ())


def sharding_of(data: Data) -> dict[str, Any] | None:
    """``$.sharding`` of the spec; None without a pattern. Raises UsageProblem."""
    if data.pattern:
        return {"glob_pattern": data.pattern, "base_path": data.base_path, "batch_size": data.batch_size}
    if data.base_path != INPUTS or data.batch_size != 1:
        raise UsageProblem(
            "--sharding-base-path and --sharding-batch-size are about a pattern", "add --sharding-glob-pattern"
        )
    return None


def publisher_of(where: str) -> dict[str, Any]:
    """``$.publisher`` of the spec. Raises UsageProblem."""
    if where in ("vault", "ipfs", "none"):
        return {"type": where}
    if where.startswith(("s3://", "az://")):
        return {"type": "object_store", "url": where}
    if where.startswith("local:/"):
        return {"type": "local", "folder": where.removeprefix("local:")}
    raise UsageProblem(
        f"--publisher: got {where!r}", "write vault, ipfs, local:/FOLDER, s3://BUCKET/PREFIX, az://… or none"
    )


def _pair(text: str) -> tuple[str, str]:
    """Source and path; a source may have ``:/`` in it, and the path begins at the last one."""
    source, found, path = text.rpartition(":/")
    if not found or not source or path.startswith("/") or not path:
        raise UsageProblem(f"--input-volumes: got {text!r}", f"write it as {_FORM}, e.g. -v bafy…:/data")
    return source, f"/{path}"


def _input(source: str, path: str, *, verify: bool) -> dict[str, Any]:
    """``path/`` is the folder ``path``; a file of the web goes there under its own name."""
    scheme, has_scheme, rest = source.partition("://")
    if has_scheme and scheme.lower() in ("http", "https"):
        return _of_the_web(source, path)
    path = path.rstrip("/")
    match scheme.lower() if has_scheme else "":
        case "":
            return {"type": "cid", "cid": source, "path": path, "verify": verify}
        case "s3" | "az":
            return {"type": "object_store", "url": source, "path": path}
        case "file" if rest.startswith("/"):
            return {"type": "local", "source": rest, "path": path}
        case "ipfs":
            return {"type": "cid", "cid": rest, "path": path, "verify": verify}
        case _:
            raise UsageProblem(f"--input-volumes: got {source!r}", f"write it as {_FORM}")


def _of_the_web(url: str, path: str) -> dict[str, Any]:
    try:
        name = file_name(url)
    except InvalidSpec as error:
        raise UsageProblem(f"-u, -i and -v: {error.problem}", "name a file of the web: https://HOST/…/FILE") from error
    return {"type": "url", "url": url, "path": f"{path}{name}" if path.endswith("/") else path}


def _inline(texts: Sequence[str]) -> list[dict[str, Any]]:
    """One input for each folder, in the order in which they are named first."""
    folders: dict[str, dict[str, dict[str, bytes]]] = {}
    left = limits.INLINE_INPUT_BYTES
    for text in texts:
        file, path = _placed(text)
        if str(path.parent) == "/":
            raise UsageProblem(
                f"--input-file {text}: a file cannot lie in / itself",
                f"put it into a folder: --input-file {file}:/other/",
            )
        content = _content(file, left)
        left -= len(content)
        files = folders.setdefault(str(path.parent), {})
        if path.name in files:
            raise UsageProblem(f"--input-file: two files are to be {path}", "write where each goes: FILE:/PATH")
        files[path.name] = {"content": content}
    return [{"type": "inline", "path": folder, "files": files} for folder, files in folders.items()]


def _placed(text: str) -> tuple[Path, PurePosixPath]:
    """A file, and what it is called in the job; ``:/FOLDER/`` keeps its own name."""
    name, found, place = text.rpartition(":/")
    file = Path(name if found else text)
    if not found:
        return file, PurePosixPath(INPUTS) / file.name
    return file, PurePosixPath(f"/{place}", file.name if place.endswith("/") or not place else "")


def _content(path: Path, left: int) -> bytes:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise UsageProblem(f"--input-file: {path} is no regular file", "folders go to nodes as a CID")
        if status.st_size > left:
            raise UsageProblem(
                f"--input-file: with {path} all files together have more than {shown_size(limits.INLINE_INPUT_BYTES)}",
                "put larger ones where nodes can read them: a CID, a URL, an object store",
            )
        with path.open("rb") as file:
            return file.read(left + 1)
    except OSError as error:
        raise UsageProblem(f"--input-file: {path}: {error.strerror}", "name a file that you can read") from error
