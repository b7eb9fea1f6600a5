"""What all rings share: a run in which nothing ran has failed; what a missing tool means.

Does not live here: fixtures of one ring (its own conftest), doubles (``tests/doubles``).
"""

from __future__ import annotations

import pytest
from needs import Need


@pytest.fixture
def need() -> Need:
    return Need()


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """All skipped, or nothing there, is not a success."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if exitstatus == pytest.ExitCode.OK and reporter is not None and not reporter.stats.get("passed"):
        session.exitstatus = pytest.ExitCode.NO_TESTS_COLLECTED
