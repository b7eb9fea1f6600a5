"""What all rings share: a run in which nothing ran has failed; what a missing tool means.

Does not live here: fixtures of one ring (its own conftest), doubles (``tests/doubles``).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable

import pytest

Need = Callable[[str, str], str]


@pytest.fixture
def need() -> Need:
    """``need(program, how)``: where ``program`` is. Without it the test is skipped, or on CI fails, and says how."""

    def found(program: str, how: str) -> str:
        path = shutil.which(program)
        if path is not None:
            return path
        missing = f"{program} is missing: {how}"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)

    return found


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """All skipped, or nothing there, is not a success."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if exitstatus == pytest.ExitCode.OK and reporter is not None and not reporter.stats.get("passed"):
        session.exitstatus = pytest.ExitCode.NO_TESTS_COLLECTED
