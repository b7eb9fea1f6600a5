"""Somebody at a terminal, in a home of their own, with a small program to run."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from contract.wasm_modules import Text, command, copied_to_stdout
from doubles.realnode import RealNode
from e2e.traces import clean_environment

QUORATE = Path(sys.executable).with_name("quorate")
PATIENCE_S = 180


@dataclass(frozen=True)
class User:
    """Somebody at a terminal, with a program that prints ``file.txt`` of its first input."""

    home: Path

    @property
    def cat(self) -> Path:
        """The program."""
        text = Text()
        path = self.home / "cat.wasm"
        path.write_bytes(command(copied_to_stdout(text(b"file.txt")), text).data)
        return path

    def asks(self, node: RealNode, *arguments: str) -> subprocess.CompletedProcess[str]:
        """``quorate ARGUMENTS`` against the API of a node."""
        return subprocess.run(
            [QUORATE, *arguments],
            env={**clean_environment(self.home), "QUORATE_API": node.ready["api_url"]},
            cwd=self.home,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )

    def prints(self, node: RealNode, source: str, at: str = "/inputs") -> bytes:
        """What the program prints of an input."""
        return self.downloads(node, "-v", f"{source}:{at}")

    def downloads(self, node: RealNode, *flags: str) -> bytes:
        """What the program prints of whatever the flags give it."""
        target = self.home / "results"
        wanted = ("--download", "--force", "--output-dir", str(target))
        ran = self.asks(node, "wasm", "run", str(self.cat), *flags, *wanted)
        assert ran.returncode == 0, ran.stderr
        return (target / "stdout").read_bytes()

    def is_refused(self, node: RealNode, source: str) -> str:
        """Why the job is not run."""
        ran = self.asks(node, "wasm", "run", str(self.cat), "-v", f"{source}:/inputs", "--bid-timeout", "5s")
        assert ran.returncode in (1, 2), ran.stderr
        return re.sub(r"\s+", " ", ran.stderr)
