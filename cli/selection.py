"""Which jobs a node takes: the ``--job-selection-…`` and ``--allow-…`` flags of ``serve``.

Does not live here: what they mean for an offer (``node.compute.policy``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from cli.errors import UsageProblem
from node import limits
from node.config import SelectionConfig

SELECTION = "Which jobs are taken"

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_HEX = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """An operator's choice among the jobs that the node could run."""

    data_locality: Annotated[
        Literal["anywhere", "local"],
        typer.Option(
            "--job-selection-data-locality",
            help="local: only jobs whose data is here already, so that nothing is fetched.",
            rich_help_panel=SELECTION,
        ),
    ] = "anywhere"
    reject_stateless: Annotated[
        bool,
        typer.Option("--job-selection-reject-stateless", help="No jobs without data.", rich_help_panel=SELECTION),
    ] = False
    probe_exec: Annotated[
        str | None,
        typer.Option(
            "--job-selection-probe-exec",
            metavar="CMD",
            help="A command of the shell that gets the job as JSON and takes it by exit code 0. Decides alone.",
            rich_help_panel=SELECTION,
        ),
    ] = None
    probe_http: Annotated[
        str | None,
        typer.Option(
            "--job-selection-probe-http",
            metavar="URL",
            help="A URL that the job is posted to as JSON and that takes it by 200. Decides alone.",
            rich_help_panel=SELECTION,
        ),
    ] = None
    allow_image_digest: Annotated[
        list[str] | None,
        typer.Option(
            metavar="sha256:…|@FILE",
            help="Only listed programs run: an image. Repeatable; @FILE has one on each line.",
            rich_help_panel=SELECTION,
        ),
    ] = None
    allow_module: Annotated[
        list[str] | None,
        typer.Option(metavar="SHA256|@FILE", help="The same: a WASM module.", rich_help_panel=SELECTION),
    ] = None
    allow_client: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CLIENT|@FILE",
            help="Only listed clients are worked for: KEY (of this node's own API), PEER (all of another node),"
            " PEER/KEY (one of another node, as that node says). Repeatable.",
            rich_help_panel=SELECTION,
        ),
    ] = None


def selection_of(wanted: Selection) -> SelectionConfig:
    """What was asked for; files of lists are read now. Raises UsageProblem."""
    if wanted.probe_exec is not None and not wanted.probe_exec.strip():
        raise UsageProblem("--job-selection-probe-exec: expected a command", "leave the flag out to have no probe")
    return SelectionConfig(
        data_locality=wanted.data_locality,
        rejects_stateless=wanted.reject_stateless,
        probe_exec=wanted.probe_exec,
        probe_http=wanted.probe_http,
        image_digests=_listed(
            wanted.allow_image_digest, "--allow-image-digest", _DIGEST.fullmatch, "sha256:… of an image"
        ),
        modules=_listed(wanted.allow_module, "--allow-module", _HEX.fullmatch, "the sha256 of a module"),
        clients=_listed(wanted.allow_client, "--allow-client", _is_client, "a client's key, PEER or PEER/KEY"),
    )


def _listed(
    given: Sequence[str] | None, flag: str, is_one: Callable[[str], object], what: str
) -> frozenset[str] | None:
    if given is None:
        return None
    found = {entry: word for word in given for entry in _entries(word, flag)}
    for entry, word in found.items():
        if not is_one(entry):
            in_file = "write one on each line of the file, # begins a comment"
            raise UsageProblem(
                f"{flag}: {entry[:100]!r} is not {what}", in_file if word.startswith("@") else "a file of them is @FILE"
            )
    return frozenset(found)


def _entries(word: str, flag: str) -> Iterator[str]:
    """The word itself, or what is in the file that it names."""
    if not word.startswith("@"):
        yield word.strip()
        return
    try:
        with Path(word[1:]).expanduser().open("rb") as file:
            raw = file.read(limits.ALLOW_LIST_BYTES_MAX + 1)
    except OSError as error:
        raise UsageProblem(f"{flag}: {word[1:]} cannot be read: {error.strerror}") from error
    if len(raw) > limits.ALLOW_LIST_BYTES_MAX:
        raise UsageProblem(f"{flag}: {word[1:]} has more than {limits.ALLOW_LIST_BYTES_MAX} bytes")
    for line in raw.decode("utf-8", "replace").splitlines():
        if entry := line.partition("#")[0].strip():
            yield entry


def _is_client(entry: str) -> bool:
    peer, slash, key = entry.partition("/")
    return bool(_HEX.fullmatch(entry)) or (_is_peer(peer) and (not slash or bool(_HEX.fullmatch(key))))


def _is_peer(text: str) -> bool:
    from node.identity import public_key_of  # It imports a library of cryptography, which ``--help`` can do without.

    try:
        return bool(public_key_of(text))
    except ValueError:
        return False
