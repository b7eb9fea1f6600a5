"""Commands that need no node: ``hash``, ``verify``, ``id``, ``version``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cli import flags, output
from cli.errors import CommandError, UsageProblem
from cli.exits import Exit
from cli.flags import Form, flat

if TYPE_CHECKING:
    from node.receipt.check import Checked
    from node.receipt.statement import Predicate

_SHARDS_SHOWN = 20

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="A folder of results.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Whose:
    """Which key is asked about."""

    data_dir: Annotated[Path | None, typer.Option(help="The node's data folder.")] = None
    client: Annotated[bool, typer.Option("--client", help="Your own key instead, with which you submit jobs.")] = False
    pem: Annotated[bool, typer.Option("--pem", help="The public key in PEM, as cosign and openssl read it.")] = False


@flat
def hash_folder(
    folder: Folder,
    vote_on: Annotated[
        Literal["all", "outputs"], typer.Option(help="As the job says: all, or all but stdout and stderr.")
    ] = "all",
    form: Form = Form(),  # noqa: B008  (a value, frozen)
) -> Exit:
    """The h1: hash of a folder: what nodes propose and vote on."""
    from node.verifier.dirhash import h1_of

    _check_folder(folder)
    found = h1_of(folder, vote_on)
    if form.as_json:
        output.json_data({"hash": found})
    else:
        output.data(found)
    return Exit.DONE


@flat
def verify(
    receipt: Annotated[Path, typer.Argument(metavar="RECEIPT", help="The receipt.json of a job.")],
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="RESULTS_DIR",
            help="What `job get` made, or a job's published folder; without it the receipt alone.",
        ),
    ] = None,
    requester: Annotated[str, typer.Option(metavar="PEER_ID", help="Whose receipt it has to be.")] = "",
    form: Form = Form(),  # noqa: B008  (a value, frozen)
) -> Exit:
    """Say, without a network, whether a receipt holds and the files, if they are given, are the ones it names."""
    from node import limits
    from node.model import PeerId
    from node.receipt.check import check

    if folder is not None:
        _check_folder(folder)
    try:
        with receipt.open("rb") as file:
            signed = file.read(limits.RECEIPT_BYTES_MAX + 1)
    except OSError as error:
        raise UsageProblem(f"{receipt} cannot be read: {error.strerror}", "give the receipt of the job") from error
    checked = check(signed, folder, requester=PeerId(requester) if requester else None)
    return _judged(checked, form)


@flat
def identity(whose: Whose, form: Form) -> Exit:
    """The peer id of the node on this machine, from its key; it need not run."""
    return _client(whose, form) if whose.client else _node(whose, form)


@flat
def version(form: Form) -> Exit:
    """The version of this program."""
    import platform
    from importlib.metadata import version

    if form.as_json:
        output.json_data({"version": version("quorate"), "python": platform.python_version()})
    else:
        output.data(f"quorate {version('quorate')}")
    return Exit.DONE


def _judged(checked: Checked, form: Form) -> Exit:
    from node.receipt.check import Broken, Holds

    if isinstance(checked, Broken):
        if form.as_json:
            output.json_data({"holds": False, "why": checked.why})
        output.say(f"does not hold: {checked.why}", "error")
        return Exit.FAILED
    predicate = checked.predicate
    verified = isinstance(checked, Holds)
    if form.as_json:
        told = {"holds": True, "verified": verified, "files": checked.files, "missing": predicate.missing}
        output.json_data({**told, "vote_on": predicate.spec.vote_on, "receipt": predicate})
    files = "the receipt, without its files, is" if checked.files is None else f"the {checked.files} files are those"
    output.say(f"holds: {files} of job {predicate.job}", "good")
    whose = "the result is" if len(predicate.shards) == 1 else "each result is"
    unchecked = f"not verified: {whose} one node's word (verifier noop)"
    output.say(f"  {_verdict(predicate) if verified else unchecked}")
    if predicate.spec.vote_on == "outputs":
        output.say("  not voted on: stdout and stderr; they are the word of the node that handed them over")
    if predicate.missing:
        output.say(
            f"  no result of {len(predicate.missing)} of {len(predicate.shards)} shards: {_some(predicate.missing)}"
        )
    output.say(f"  signed by requester {predicate.requester}")
    return Exit.DONE


def _verdict(predicate: Predicate) -> str:
    kept = [shard for shard in predicate.shards if shard.manifest is not None]
    if len(predicate.shards) > 1:
        return f"verified: {len(kept)} of {len(predicate.shards)} shards, each by a vote of its own"
    groups = kept[0].verdict.groups if kept[0].verdict else ()
    agreed = next((len(group.peers) for group in groups if group.hash == kept[0].manifest), 0)
    return f"verified: {agreed} of {len(kept[0].executions)} nodes agree on {kept[0].manifest}"


def _some(numbers: tuple[int, ...]) -> str:
    shown = ", ".join(map(str, numbers[:_SHARDS_SHOWN]))
    return f"{shown}, …" if len(numbers) > _SHARDS_SHOWN else shown


def _client(whose: Whose, form: Form) -> Exit:
    from cli.keys import client_key
    from node.identity import client_id_of, pem_of

    public = bytes(client_key().verify_key)
    client = client_id_of(public)
    line = f"ed25519 {client} <your name>"
    if form.as_json:
        output.json_data({"client": client, "pem": pem_of(public), "authorized_clients": line})
    elif whose.pem:
        output.data(pem_of(public).rstrip())
    else:
        output.data(client)
        output.say("the line for a node's authorized_clients file:")
        output.say(f"  {line}")
    return Exit.DONE


def _node(whose: Whose, form: Form) -> Exit:
    from cli.keys import NODE_KEY
    from node.identity import Identity, pem_of
    from node.keyfile import load

    path = (whose.data_dir or flags.data_home()) / NODE_KEY
    try:
        found = Identity(load(path))
    except FileNotFoundError:
        raise CommandError(
            f"no node has its key at {path}",
            f"`{output.program()} serve` makes one when it first starts; --data-dir names another folder;"
            " --client is about your own key",
        ) from None
    if form.as_json:
        output.json_data({"peer_id": found.peer_id, "pem": pem_of(found.public_key)})
    else:
        output.data(pem_of(found.public_key).rstrip() if whose.pem else found.peer_id)
    return Exit.DONE


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        missing = "is not a folder" if folder.exists() else "does not exist"
        raise UsageProblem(
            f"{folder} {missing}", "give the folder that `job get` made, or the one that results were published to"
        )
