"""``job receipt``: a job's receipt alone, checked, to a file or standard output. Does not live here: what it proves."""

from __future__ import annotations

import sys
from pathlib import Path

from cli import output
from cli.client import Client
from cli.download import check_receipt
from cli.errors import CommandError, Refused, UsageProblem
from node.api.views import JobView

_STDOUT = Path("-")


def keep_receipt(client: Client, job: JobView, path: Path, *, force: bool) -> None:
    """Write it, whole or not at all, and its name to standard output; ``-``: itself.

    Raises BrokenAnswer, UsageProblem, CommandError, and what ``Client`` raises.
    """
    if path != _STDOUT and path.exists() and not force:
        raise UsageProblem(f"{path} is there already", "name another file with --output, or replace it with --force")
    receipt = _fetched(client, job)
    check_receipt(client, job, receipt, None if job.results is None else job.results.hash)
    if job.results is None:
        output.say("the node has no results of this job any more: there was nothing to compare the receipt with")
    if path == _STDOUT:
        sys.stdout.buffer.write(receipt)
        sys.stdout.buffer.flush()
        output.say("the receipt holds")
        return
    _write(receipt, path)
    output.say(f"the receipt holds; next: `{output.program()} verify {path}`")
    output.data(str(path))


def _fetched(client: Client, job: JobView) -> bytes:
    try:
        return client.receipt(job.id)
    except Refused as error:
        if error.code != "not_found":
            raise
        name = output.short_job(job.id)
        raise CommandError(str(error), f"`{output.program()} job describe {name}` says how it ended") from error


def _write(receipt: bytes, path: Path) -> None:
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_bytes(receipt)
        partial.replace(path)
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}", "name another file with --output") from error
