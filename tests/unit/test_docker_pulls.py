"""How a pull goes, what ends it, and which images make room for others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from node.errors import DriverUnavailable, NoRoom
from node.executor.docker.pull import Pull
from node.executor.docker.pulled import Pulled


def a_pull(folder: Path, bytes_max: int = 1000) -> Pull:
    return Pull("a@sha256:1", str(folder), bytes_max, [])


def downloading(layer: str, total: int) -> dict[str, Any]:
    return {"id": layer, "status": "Downloading", "progressDetail": {"current": 1, "total": total}}


def test_layers_count_together_and_each_once(tmp_path: Path) -> None:
    pull = a_pull(tmp_path)
    for line in ({"status": "Pulling from a"}, downloading("1", 600), downloading("1", 600), downloading("2", 400)):
        pull.heard(line)
    with pytest.raises(NoRoom, match="1000 bytes"):
        pull.heard(downloading("3", 1))


def test_how_much_came_is_told_only_where_it_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr("node.limits.PROGRESS_EVERY_S", 0)
    monkeypatch.setattr("trio.from_thread.run_sync", lambda tell, text: tell(text))
    pull = Pull("a", str(tmp_path), 10**9, [told.append])
    pull.heard({"id": "1", "status": "Waiting"})
    pull.heard(downloading("1", 2_000_000))
    pull.heard(downloading("2", 1_500_000))
    pull.heard({"id": "1", "status": "Download complete"})
    assert told == [
        "pulling a: waiting",
        "pulling a: 0 of 2 MB, downloading",
        "pulling a: 0 of 4 MB, downloading",
        "pulling a: 2 of 4 MB, download complete",
    ]


def test_an_error_of_the_engine_tells_no_path_of_this_machine(tmp_path: Path) -> None:
    with pytest.raises(DriverUnavailable, match=r"^write …: no space left$"):
        a_pull(tmp_path).heard({"error": "write /var/lib/docker/tmp/x: no space left"})


def test_what_the_engine_has_against_it_ends_it(tmp_path: Path) -> None:
    with pytest.raises(DriverUnavailable, match="unauthorized"):
        a_pull(tmp_path).heard({"errorDetail": {}, "error": "unauthorized"})


def test_one_that_nobody_waits_for_ends_with_the_next_line(tmp_path: Path) -> None:
    pull = a_pull(tmp_path)
    pull.is_abandoned = True
    with pytest.raises(DriverUnavailable):
        pull.heard({"status": "Downloading"})


def test_an_engine_that_sees_other_files_than_we_do_is_no_trouble(tmp_path: Path) -> None:
    a_pull(tmp_path / "elsewhere").heard({"status": "Extracting"})


def test_the_image_used_longest_ago_goes_and_never_the_last(tmp_path: Path) -> None:
    pulled = Pulled(tmp_path / "pulled.json", 100)
    for name in ("a", "b", "c"):
        pulled.add(name, 40)
    assert pulled.in_the_way() == ("a",)
    pulled.use("a")
    assert pulled.in_the_way() == ("b",)
    pulled.add("huge", 1000)
    assert pulled.in_the_way() == ("b", "c", "a")
    pulled.drop("huge")
    pulled.drop("b")
    assert pulled.in_the_way() == ()


def test_it_is_known_over_a_restart_in_its_order(tmp_path: Path) -> None:
    pulled = Pulled(tmp_path / "pulled.json", 50)
    pulled.add("a", 40)
    pulled.add("b", 40)
    pulled.use("a")
    pulled.save()
    again = Pulled(tmp_path / "pulled.json", 50)
    again.open()
    assert again.in_the_way() == ("b",)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"a": "b"}'])
def test_what_cannot_be_read_is_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "pulled.json").write_bytes(content)
    pulled = Pulled(tmp_path / "pulled.json", 0)
    pulled.open()
    assert pulled.in_the_way() == ()
