"""Room on the disk: what fits, what does not, and a disk that cannot be asked."""

from __future__ import annotations

import os

import pytest

from node import limits
from node.errors import NoRoom
from node.room import need_room
from node.vault.modules import Modules
from node.vault.results import Results


def test_what_would_use_up_the_reserve_does_not_fit(tmp_path):
    found = os.statvfs(tmp_path)
    free = found.f_bavail * found.f_frsize
    need_room(tmp_path, free - limits.DISK_RESERVE_BYTES - 2**30)  # Others write meanwhile.
    with pytest.raises(NoRoom, match="reserve of 134217728"):
        need_room(tmp_path, free - limits.DISK_RESERVE_BYTES + 2**30)


def test_a_disk_that_is_gone_has_no_room(tmp_path):
    with pytest.raises(NoRoom, match="cannot be used"):
        need_room(tmp_path / "gone")


def test_folders_that_are_gone_take_nothing(tmp_path):
    modules, results = Modules(tmp_path / "m"), Results(tmp_path / "r")
    (tmp_path / "m").rmdir()
    (tmp_path / "r").rmdir()
    with pytest.raises(NoRoom):
        modules.upload()
    with pytest.raises(NoRoom):
        results.need_room()
