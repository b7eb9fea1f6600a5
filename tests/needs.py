"""What tests need beyond Python, and what it means when it is not there (``scripts/system.sh`` installs it)."""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest


class Need:
    """What a test needs beyond Python. Without it the test is skipped, or on CI fails, and says how to get it."""

    def __call__(self, program: str, how: str) -> str:
        """Where ``program`` is."""
        path = shutil.which(program)
        return path if path is not None else self.lacking(f"{program} is missing: {how}")

    def lacking(self, what: str) -> NoReturn:
        """The test cannot run."""
        if os.environ.get("CI") == "true":
            pytest.fail(what)
        pytest.skip(what)
