"""``job receipt``: a job's receipt alone, checked, to a file. Does not live here: what a receipt proves."""

from __future__ import annotations

from pathlib import Path

from cli import output
from cli.client import Client
from cli.download import check_receipt
from cli.errors import CommandError, UsageProblem
from node.api.views import JobView


def keep_receipt(client: Client, job: JobView, path: Path, *, force: bool) -> None:
    """Write it, whole or not at all. Raises BrokenAnswer, UsageProblem, CommandError, and what ``Client`` raises."""
    if path.exists() and not force:
        raise UsageProblem(f"{path} is there already", "name another file with --output, or replace it with --force")
    receipt = client.receipt(job.id)
    check_receipt(client, job, receipt, None if job.results is None else job.results.hash)
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_bytes(receipt)
        partial.replace(path)
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}", "name another file with --output") from error
    if job.results is None:
        output.say("the node has no results of this job any more: there was nothing to compare the receipt with")
    output.say(f"the receipt holds; next: `{output.program()} verify {path}`")
