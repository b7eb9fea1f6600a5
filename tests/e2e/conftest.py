"""What end-to-end tests share."""

from __future__ import annotations

from pathlib import Path

import pytest
from doubles.objectservers import ObjectServer
from e2e.users import User


@pytest.fixture
def user(tmp_path: Path) -> User:
    (tmp_path / "home").mkdir()
    return User(tmp_path / "home")


@pytest.fixture(params=["s3", "azure"])
def objects(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ObjectServer:
    """A real server of each kind, which nodes reach by what they find in their environment."""
    server = request.getfixturevalue(request.param)
    assert isinstance(server, ObjectServer)
    for name, value in server.env.items():
        monkeypatch.setenv(name, value)
    return server
