"""One real node and somebody who sends it jobs that mean harm: how each ends, and that nothing of it is left.

What a job must not do to the node is asserted here, for every job: the node answers all along, says why the job ended,
runs the next one, and clears up. Does not live here: the jobs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from doubles.dockers import until
from doubles.pulse import Pulse
from doubles.realnode import RealNode, real_node
from e2e.traces import began_at, descendants
from e2e.users import User

HEALTH_S_MAX = 2.0  # On a machine that does other things meanwhile; what a quiet one takes is printed.

_ENDED_S_MAX = 120.0  # The same; a job that no limit ended would have ten minutes.
_ZYGOTES = 1  # The process that starts those of WASM.


@dataclass(frozen=True)
class Ending:
    """How a job ended: as JSON, as `job describe` has it, and as it was told while it ran."""

    job: dict[str, Any]
    described: str
    said: str

    @property
    def code(self) -> str | None:
        """Of its one execution; None: it did not fail."""
        (run,) = self.job["details"][0]["executions"]
        return None if run["code"] is None else str(run["code"])

    @property
    def exit_code(self) -> int:
        """Of the program."""
        assert self.job["state"] == "completed", self.described
        return int(self.job["details"][0]["results"]["exit_code"])

    @property
    def took_s(self) -> float:
        """From the submission to the end."""
        began, ended = (datetime.fromisoformat(self.job[name]) for name in ("submitted_at", "ended_at"))
        return (ended - began).total_seconds()

    def is_told(self, code: str, words: str) -> None:
        """Why it failed was said when it did, and is described."""
        assert self.code == code, self.described
        for text in (self.said, self.described):
            assert re.search(f"{code}: .*{re.escape(words)}", re.sub(r"\s+", " ", text)), text


@dataclass(frozen=True)
class Ground:
    """``engine``: wasm or docker. ``honest``: what else is behind ``run`` for a job that does no harm."""

    node: RealNode
    user: User
    folder: Path
    engine: str
    honest: tuple[str, ...]
    left: Callable[[], list[str]]  # what the engine has of this node, besides processes

    def endures(self, *arguments: str) -> Ending:
        """Run a job, with the node watched until the next one has completed."""
        with Pulse(self.node.ready["api_url"]) as pulse:
            ending = self.ended(*arguments)
            self.is_clear()
            following = self.ended(*self.honest)
        print(f"health: {pulse}")  # For who runs it with -s on a quiet machine.
        assert following.exit_code == 0, following.described
        assert not pulse.troubles
        assert pulse.worst_s < HEALTH_S_MAX, str(pulse)
        assert ending.took_s < _ENDED_S_MAX, ending.described
        return ending

    @contextmanager
    def running(self, *arguments: str) -> Iterator[Path]:
        """A job that has written ``outputs/secret``: where it writes. Cancelled afterwards."""
        ran = self.user.asks(self.node, self.engine, "run", *_before_the_programs(arguments, "--id-only"))
        job = ran.stdout.strip()
        try:
            until(lambda: bool(self._secrets()), lambda: f"no secret of {ran}")
            yield self._secrets()[0].parent.parent
        finally:
            self.user.asks(self.node, "job", "cancel", job)
        self.is_clear()

    def ended(self, *arguments: str) -> Ending:
        """One job, and no more."""
        ran = self.user.asks(self.node, self.engine, "run", *_before_the_programs(arguments, "--json"))
        assert ran.stdout, ran.stderr
        job = json.loads(ran.stdout)
        return Ending(job, self.user.asks(self.node, "job", "describe", job["id"]).stdout, ran.stderr)

    def is_clear(self) -> None:
        """Nothing of any run lies here, is mounted, or runs."""
        until(lambda: not self._leftovers(), lambda: f"left over: {self._leftovers()}")

    def _secrets(self) -> list[Path]:
        return list((self.folder / "scratch").glob("*/outputs/secret"))

    def _leftovers(self) -> list[str]:
        lying = list((self.folder / "scratch").iterdir())
        idle = [path for path in lying if _is_idle_workers(path)]
        processes = descendants(self.node.process.pid)
        running = [] if len(processes) <= _ZYGOTES + len(idle) else [f"processes {processes} for {idle}"]
        mounts = Path("/proc", str(self.node.process.pid), "mountinfo").read_text().splitlines()
        scratch = [str(path) for path in lying if path not in idle]
        return [*scratch, *running, *(line for line in mounts if str(self.folder) in line), *self.left()]


@contextmanager
def proving_ground(
    folder: Path, engine: str, honest: tuple[str, ...], left: Callable[[str], list[str]], *flags: str
) -> Iterator[Ground]:
    """Afterwards no process of the node is there, and it had nothing to say of itself that it should not.

    ``left`` is asked with the node's id.
    """
    (folder / "home").mkdir()
    with real_node(folder / "node", *flags) as node:
        ground = Ground(
            node, User(folder / "home"), folder / "node", engine, honest, lambda: left(node.ready["peer_id"])
        )
        yield ground
        ground.is_clear()
        family = descendants(node.process.pid)
    until(lambda: not _alive(family), lambda: f"left over: {_alive(family)}")
    assert not [line for line in node.said if "Traceback" in line or '"level": "error"' in line], node.said
    assert not list((folder / "node/results").glob("**/.partial-*"))


def _is_idle_workers(folder: Path) -> bool:
    """Where a warm worker of WASM will find its next run."""
    return folder.name.startswith(".worker-") and not list(folder.glob("*"))


def _alive(family: dict[int, str]) -> list[int]:
    return [pid for pid, began in family.items() if began_at(pid) == began]


def _before_the_programs(arguments: tuple[str, ...], flag: str) -> tuple[str, ...]:
    """What comes after a -- is not for us."""
    at = arguments.index("--") if "--" in arguments else len(arguments)
    return (*arguments[:at], flag, *arguments[at:])
