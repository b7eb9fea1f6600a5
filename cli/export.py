"""``job export``: the results of a job as a CAR file, which is what IPFS and Filecoin tools take.

Lives here: where the file goes, and that it is there whole or not at all. Does not live here: downloading and checking
results (``cli.download``), what is in a CAR file (``node.storage.ipfs.packing``).
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, Literal

import typer

if TYPE_CHECKING:
    from cli.client import Client
    from cli.download import Downloaded
    from node.storage.ipfs.layout import Profile


@dataclass(frozen=True, slots=True, kw_only=True)
class CarFile:
    """Where the results go, and by which rules they become blocks."""

    car: Annotated[str, typer.Option(metavar="FILE", help="The CAR file to write; - for standard output.")]
    profile: Annotated[
        Literal["unixfs-v1-2025", "cid-version=1", "unixfs-v0-2015"],
        typer.Option(help="How files become blocks, as in Kubo: the root's CID depends on it."),
    ] = "unixfs-v1-2025"
    force: Annotated[bool, typer.Option("--force", help="Replace the file.")] = False

    @property
    def is_stdout(self) -> bool:
        """Whether it is no file."""
        return self.car == "-"


def export(client: Client, job: str, target: CarFile, *, as_json: bool) -> None:
    """Download the results, check them, write the CAR file, and say what to do with it; the root's CID is data.

    Raises what ``cli.download`` does, UsageProblem, and StorageError.
    """
    from cli import output
    from cli.download import download
    from cli.job import check_results
    from node.storage.ipfs.packing import pack

    _check_target(target, as_json=as_json)
    view = client.job(job)
    check_results(view)
    with _beside(target) as folder:
        got = download(client, view, folder / "results", output.say)
        with _written(target, folder / "results.car") as out:
            root = pack(got.folder, _profile(target), out.write)
    _tell(str(root), got, target, as_json=as_json)


def _profile(target: CarFile) -> Profile:
    from node.storage.ipfs.layout import PROFILES

    return next(profile for profile in PROFILES if profile.name == target.profile)


def _tell(root: str, got: Downloaded, target: CarFile, *, as_json: bool) -> None:
    from cli import output, quantities

    output.say(f"{got.files} files, {quantities.shown_size(got.bytes)}, each is the one that won")
    output.say(f"  directory hash {got.hash}")
    if target.is_stdout:
        output.say(f"  root           {root}")
        return
    if as_json:
        output.json_data({"car": target.car, "root": root, "hash": got.hash, "files": got.files})
    else:
        output.data(root)
    output.say(f"next: `ipfs dag import {target.car}` puts it into IPFS; Filecoin tools take it as it is")


def _check_target(target: CarFile, *, as_json: bool) -> None:
    from cli.errors import UsageProblem

    if target.is_stdout and as_json:
        raise UsageProblem("--json and --car - both want standard output", "name a file with --car")
    if target.is_stdout:
        if sys.stdout.isatty():
            raise UsageProblem("a CAR file is nothing for a terminal", "name a file with --car, or pipe it on")
        return
    path = Path(target.car)
    if path.is_dir() or not path.name:
        raise UsageProblem(f"{target.car!r} is a folder", "name a file in it with --car")
    if not path.parent.is_dir():
        raise UsageProblem(f"there is no folder {path.parent}", "make it, or name another file with --car")
    if (path.exists() or path.is_symlink()) and not target.force:
        raise UsageProblem(f"{path} is there already", "name another with --car, or replace it with --force")


@contextmanager
def _beside(target: CarFile) -> Iterator[Path]:
    """A folder that is gone afterwards, on the disk where the file will be."""
    from cli.errors import CommandError

    place = None if target.is_stdout else Path(target.car).absolute()
    try:
        with tempfile.TemporaryDirectory(
            dir=place and place.parent, prefix=f".{place.name}." if place else "job-export."
        ) as folder:
            yield Path(folder)
    except OSError as error:
        raise CommandError(
            f"the CAR file cannot be written: {error.strerror or error}: {error.filename or target.car}",
            "make room, or name another place with --car",
        ) from error


@contextmanager
def _written(target: CarFile, fresh: Path) -> Iterator[BinaryIO]:
    if target.is_stdout:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    with fresh.open("wb") as out:
        yield out
    fresh.replace(target.car)
