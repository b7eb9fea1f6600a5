"""What end-to-end tests share."""

from __future__ import annotations

from pathlib import Path

import pytest
from e2e.users import User


@pytest.fixture
def user(tmp_path: Path) -> User:
    (tmp_path / "home").mkdir()
    return User(tmp_path / "home")
