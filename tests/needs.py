"""What tests need beyond Python, and what it means when it is not there (``scripts/system.sh`` installs it)."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import NoReturn

import pytest

TOOLS = Path(__file__).parent / "tools"
_BUILD_S_MAX = 3600.0
_MISSING = 3


class Need:
    """What a test needs beyond Python. Without it the test is skipped, or on CI fails, and says how to get it."""

    def __call__(self, program: str, how: str) -> str:
        """Where ``program`` is."""
        path = shutil.which(program)
        return path if path is not None else self.lacking(f"{program} is missing: {how}")

    def built(self, script: str, how: str) -> str:
        """What a script of ``tests/tools`` prints: the program that it found or made. ``how`` to get what it lacks."""
        made = subprocess.run([TOOLS / script], stdout=subprocess.PIPE, text=True, timeout=_BUILD_S_MAX, check=False)
        if made.returncode == _MISSING:
            self.lacking(how)
        if made.returncode:
            self.lacking(f"{script} failed, see above; try {TOOLS / script}")
        return made.stdout.strip()

    def lacking(self, what: str) -> NoReturn:
        """The test cannot run."""
        if os.environ.get("CI") == "true":
            pytest.fail(what)
        pytest.skip(what)
