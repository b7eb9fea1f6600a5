"""Asking an operator's own judgement of offers: a command, or a URL. Implements ``policy.Probe``.

A probe has a deadline, few run at once, requesters take turns, and whatever goes wrong with it is a reason to decline:
it never takes a job by failing. What an exec probe prints is told to the requester; its standard error is dropped.
Does not live here: what it is told (``policy.asked``), processes (``commands``), HTTP (``node.storage.http``).
"""

from __future__ import annotations

import logging
import os
import re
import subprocess
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from node import limits
from node.compute.commands import Ended, ended
from node.compute.policy import Probe
from node.config import SelectionConfig
from node.errors import OperatorError, StorageError
from node.model import PeerId, cut
from node.storage.places import place_of
from node.turns import Turns

if TYPE_CHECKING:
    from node.storage.http import Http

log = logging.getLogger("quorate.compute")

_PROGRAM = re.compile(r"\s*([\w./+-]+)(?=[\s;&|<>]|$)")  # What the shell expands or assigns is left to it.
_NO = "this node's operator declined the job"
_SILENT = "this node's operator has offers judged by a program of its own, which"


@dataclass(frozen=True, slots=True)
class _Asked:
    """A way to ask, within a deadline and in turn."""

    ask: Callable[[bytes], Awaitable[str | None]]
    seconds: float
    turns: Turns = field(default_factory=partial(Turns, limits.PROBES_AT_ONCE))

    async def refusal(self, question: bytes, requester: PeerId) -> str | None:
        """See Probe."""
        waits = trio.move_on_after(limits.PROBE_TURN_S)
        with waits:
            async with self.turns.one(requester):
                waits.deadline = float("inf")  # Its turn has come.
                return await self._answer(question)
        return f"{_SILENT} has too much to do"

    async def _answer(self, question: bytes) -> str | None:
        with trio.move_on_after(self.seconds):
            return await self.ask(question)
        log.warning("probe_too_slow", extra={"seconds": self.seconds})
        return f"{_SILENT} did not answer within {self.seconds:g} s"


def check_probe(config: SelectionConfig) -> None:
    """Raises OperatorError for a URL that cannot be asked, or a command whose program is not there. Blocking."""
    missing = _missing_program(config.probe_exec or "")
    if missing:
        raise OperatorError(
            f"--job-selection-probe-exec: {missing} is no program that can be run; write its whole path"
        )
    try:
        if config.probe_http is not None:
            place_of(config.probe_http)
    except StorageError as error:
        raise OperatorError(f"--job-selection-probe-http: {error}") from error


def probe_for(config: SelectionConfig, seconds: float = limits.PROBE_S) -> Probe | None:
    """The one that decides, if there is one; it has so many seconds for each answer."""
    if config.probe_exec is None and config.probe_http is None:
        return None
    if config.rejects_stateless or config.data_locality == "local" or (config.probe_exec and config.probe_http):
        log.warning("rules_without_effect", extra={"why": "a probe decides alone, and a command before a URL"})
    if config.probe_exec is not None:
        return _Asked(partial(_by_command, config.probe_exec), seconds)
    assert config.probe_http is not None
    from node.storage.http import Http  # It imports httpx, which few nodes need for this.

    return _Asked(partial(_by_http, Http(), config.probe_http), seconds)


def _missing_program(command: str) -> str:
    """The program that a command begins with, if it is plainly named and the shell would not find it; else ""."""
    named = _PROGRAM.match(command)
    if named is None:
        return ""
    word = named[1]
    if "/" in word:
        return "" if Path(word).is_file() and os.access(word, os.X_OK) else word
    found = subprocess.run(  # What is built into the shell, it alone knows.
        ["/bin/sh", "-c", 'command -v "$1"', "sh", word], stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    return word if found.returncode else ""


async def _by_command(command: str, question: bytes) -> str | None:
    shell = ("/bin/sh", "-c", command)
    try:
        answer = await ended(shell, question, bytes_max=limits.PROBE_WORDS_BYTES)
    except OSError as error:
        log.error("probe_not_started", extra={"why": error.strerror})  # noqa: TRY400  (not a bug)
        return f"{_SILENT} cannot be started"
    return None if answer.code == 0 else _words_of(answer)


def _words_of(answer: Ended) -> str:
    if answer.code < 0:
        log.warning("probe_killed", extra={"signal": -answer.code})
        return f"{_SILENT} was ended by signal {-answer.code}"
    said = answer.said.decode("utf-8", "replace").strip().partition("\n")[0]
    return cut(f"{_NO}: {said}" if said else f"{_NO} (its probe ended with exit code {answer.code})")


async def _by_http(http: Http, url: str, question: bytes) -> str | None:
    try:
        async with http.session() as session:
            status = await session.posted(url, question, "application/json")
    except StorageError as error:
        log.warning("probe_failed", extra={"why": str(error)})
        return f"{_SILENT} could not be asked"
    return None if status == 200 else f"{_NO} (its probe answered {status})"
