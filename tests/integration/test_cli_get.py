"""``job get`` over real sockets: what an honest node sends lies where it should; what a hostile one sends does not."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from doubles.fakenode import FakeNode, Handler, asked_from, breaks_off, fake_node, hangs_up, problem, says
from doubles.trees import files_in
from nacl.signing import SigningKey
from unit.receipts import FILES, WRONG, finished, spec_of

from cli.client import Client
from cli.download import download
from cli.errors import Unreachable
from cli.main import run
from node.api.views import FileView, ManifestView
from node.model import Deal
from node.verifier.dirhash import h1_of

CSV = "outputs/census.csv"


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeNode]:
    """A node with a verified job; the command line is pointed to it and works in ``tmp_path``."""
    with fake_node() as fake:
        asked_from(tmp_path, fake, monkeypatch)
        yield fake


def get(node: FakeNode, *flags: str) -> int:
    return run(["job", "get", node.job.id[:8], *flags])


def nothing_is_left(folder: Path) -> bool:
    return not (folder / "results").exists() and not (folder / "results.receipt.json").exists()


def test_results_lie_directly_in_the_folder_and_the_receipt_beside_it(node: FakeNode, tmp_path: Path) -> None:
    assert get(node) == 0

    folder = tmp_path / f"job-{node.job.id[:8]}"
    assert files_in(folder) == FILES
    assert h1_of(folder) == node.manifest.hash
    assert (tmp_path / f"{folder.name}.receipt.json").read_bytes() == node.receipt
    assert run(["verify", f"{folder}.receipt.json", str(folder)]) == 0
    assert sorted(os.listdir(tmp_path)) == ["client.key", folder.name, f"{folder.name}.receipt.json"]


def test_the_folder_is_data_and_everything_else_is_for_people(
    node: FakeNode, capsys: pytest.CaptureFixture[str]
) -> None:
    assert get(node, "--output-dir", "results") == 0

    out, err = capsys.readouterr()
    assert out == "results\n"
    assert node.manifest.hash in err
    assert "receipt" in err


def test_json_says_where_it_is(node: FakeNode, capsys: pytest.CaptureFixture[str]) -> None:
    assert get(node, "--output-dir", "results", "--json") == 0

    assert msgspec.json.decode(capsys.readouterr().out) == {
        "folder": "results",
        "receipt": "results.receipt.json",
        "hash": node.manifest.hash,
        "files": len(FILES),
        "vote_on": "all",
    }


def test_a_broken_connection_goes_on_at_the_byte_where_it_broke(node: FakeNode, tmp_path: Path) -> None:
    path = node.path(f"/results/{CSV}")
    node.misbehaves[path].append(breaks_off(FILES[CSV], after=4))

    assert get(node, "--output-dir", "results") == 0

    assert (tmp_path / "results" / CSV).read_bytes() == FILES[CSV]
    assert [request.headers.get("range") for request in node.asked(path)] == [None, "bytes=4-"]


def test_a_node_that_sends_the_whole_file_again_is_taken_from_the_beginning(node: FakeNode, tmp_path: Path) -> None:
    path = node.path(f"/results/{CSV}")
    node.misbehaves[path] += [breaks_off(FILES[CSV], after=4), says(FILES[CSV])]

    assert get(node, "--output-dir", "results") == 0

    assert (tmp_path / "results" / CSV).read_bytes() == FILES[CSV]


def test_beginning_again_and_again_is_no_progress(node: FakeNode, tmp_path: Path) -> None:
    node.misbehaves[node.path(f"/results/{CSV}")] += [breaks_off(FILES[CSV], after=4)] * 3

    with Client(node.url, SigningKey.generate()) as client, pytest.raises(Unreachable):
        download(client, node.job, tmp_path / "results", lambda _: None, pauses_s=(0, 0))


def test_a_download_that_was_given_up_goes_on_the_next_time(node: FakeNode, tmp_path: Path) -> None:
    path = node.path(f"/results/{CSV}")
    node.misbehaves[path] += [breaks_off(FILES[CSV], after=4), hangs_up, hangs_up]
    with Client(node.url, SigningKey.generate()) as client, pytest.raises(Unreachable, match="byte 4"):
        download(client, node.job, tmp_path / "results", lambda _: None, pauses_s=(0, 0))
    assert nothing_is_left(tmp_path)
    exit_code_file = node.path("/results/exitCode")
    fetched_before = len(node.asked(exit_code_file))

    assert get(node, "--output-dir", "results") == 0

    assert (tmp_path / "results" / CSV).read_bytes() == FILES[CSV]
    assert node.asked(path)[-1].headers["range"] == "bytes=4-"
    assert len(node.asked(exit_code_file)) == fetched_before


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (says(b"N" + FILES[CSV][1:]), "sha256 differs"),
        (says(FILES[CSV] + b"more"), "longer than"),
        (says(FILES[CSV][:-3]), "ended after"),
        (says(FILES[CSV], 206, content_range="bytes 0-1/2"), "another part"),
        (problem(404, "not_found", "it is gone"), "it is gone"),
        (says(b"<html>", 502, "text/html"), "502"),
        (says(b"", 302, location="http://127.0.0.1:9/"), "302"),
    ],
    ids=["other bytes", "too many", "too few", "a part", "a refusal", "a proxy's page", "a redirect"],
)
def test_a_file_that_is_not_the_one_that_won_is_refused(
    node: FakeNode,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    act: Callable[[Handler], None],
    words: str,
) -> None:
    node.misbehaves[node.path(f"/results/{CSV}")].append(act)

    assert get(node, "--output-dir", "results") == 1

    assert words in capsys.readouterr().err
    assert nothing_is_left(tmp_path)


@pytest.mark.parametrize("name", ["/etc/passwd", "../out", "outputs/../../out", "outputs//x", "a\nb", "", "outputs"])
def test_a_hostile_name_is_refused_before_anything_is_written(
    node: FakeNode, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    hostile = FileView(name=name, size=0, sha256="e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
    files = tuple(sorted((*node.manifest.files, hostile), key=lambda file: file.name))
    node.manifest = ManifestView(hash=node.manifest.hash, files=files)

    assert get(node, "--output-dir", "results") == 1

    assert "must not be used" in capsys.readouterr().err
    assert os.listdir(tmp_path) == ["client.key"]


def test_a_list_of_other_files_than_those_that_won_is_refused(node: FakeNode, tmp_path: Path) -> None:
    node.manifest = ManifestView(hash=node.manifest.hash, files=node.manifest.files[:-1])

    assert get(node, "--output-dir", "results") == 1

    assert nothing_is_left(tmp_path)


def test_a_receipt_that_does_not_hold_is_refused(
    node: FakeNode, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    node.receipt = node.receipt.replace(b'"payload":"ey', b'"payload":"fy')

    assert get(node, "--output-dir", "results") == 1

    assert "receipt does not hold" in capsys.readouterr().err
    assert nothing_is_left(tmp_path)


def test_a_receipt_of_another_requester_is_refused(node: FakeNode, tmp_path: Path) -> None:
    node.peer_id = "12D3KooWBmAwcd4PJNJvfV89HwE48nwkRmAgo8Vy3uQEyNNHBox2"

    assert get(node, "--output-dir", "results") == 1

    assert nothing_is_left(tmp_path)


def test_a_receipt_of_another_job_is_refused(
    node: FakeNode, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    node.job = msgspec.structs.replace(node.job, id="fe" * 16)

    assert get(node, "--output-dir", "results") == 1

    assert "another job" in capsys.readouterr().err
    assert nothing_is_left(tmp_path)


def test_results_that_did_not_win_are_refused(node: FakeNode, tmp_path: Path) -> None:
    (shard,) = node.job.details
    lost = msgspec.structs.replace(shard, verdict=msgspec.structs.replace(shard.verdict, hash=WRONG))
    node.job = msgspec.structs.replace(node.job, details=(lost,))

    assert get(node, "--output-dir", "results") == 1

    assert nothing_is_left(tmp_path)


def test_results_that_have_no_room_are_not_begun(
    node: FakeNode, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, *rest = node.manifest.files
    huge = msgspec.structs.replace(first, size=2**60)
    node.manifest = ManifestView(hash=node.manifest.hash, files=(huge, *rest))

    assert get(node, "--output-dir", "results") == 1

    assert "has room for" in capsys.readouterr().err
    assert node.asked(node.path(f"/results/{first.name}")) == []


def test_a_partial_folder_that_others_may_write_to_is_not_used(
    node: FakeNode, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    digest = hashlib.sha256(node.manifest.hash.encode()).hexdigest()
    planted = tmp_path / f".results.{digest[:16]}.partial"
    planted.mkdir()
    planted.chmod(0o777)

    assert get(node, "--output-dir", "results") == 1

    assert "in the way" in capsys.readouterr().err
    assert os.listdir(planted) == []


def test_results_of_one_node_without_a_vote_can_be_had_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unchecked = finished(spec_of("noop", Deal(concurrency=1, confidence=1)), ("right",))
    monkeypatch.setenv("QUORATE_KEY", str(tmp_path / "client.key"))
    with fake_node(unchecked) as node:
        assert get(node, "--api", node.url, "--output-dir", str(tmp_path / "results")) == 0


def test_what_lies_there_is_not_touched(node: FakeNode, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "mine").write_text("precious")

    assert get(node, "--output-dir", "results") == 2
    assert "--force" in capsys.readouterr().err
    assert get(node, "--output-dir", "results", "--force") == 2
    assert "nothing else" in capsys.readouterr().err

    assert (tmp_path / "results" / "mine").read_text() == "precious"


def test_where_nothing_can_be_made_nothing_is_said_to_be_kept(
    node: FakeNode, capsys: pytest.CaptureFixture[str]
) -> None:
    assert get(node, "--output-dir", "/proc/results") == 1

    err = capsys.readouterr().err
    assert "results cannot be put into /proc: " in err
    assert "kept" not in err


def test_force_replaces_results_that_were_downloaded_before(node: FakeNode, tmp_path: Path) -> None:
    assert get(node, "--output-dir", "results") == 0
    (tmp_path / "results" / "stdout").write_text("changed")

    assert get(node, "--output-dir", "results", "--force") == 0

    assert h1_of(tmp_path / "results") == node.manifest.hash
    assert sorted(os.listdir(tmp_path)) == ["client.key", "results", "results.receipt.json"]


def test_a_link_in_place_of_the_folder_is_not_followed(node: FakeNode, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "results").symlink_to(tmp_path / "elsewhere")

    assert get(node, "--output-dir", "results") == 2

    assert os.listdir(tmp_path / "elsewhere") == []


def test_a_job_without_results_says_where_to_look(node: FakeNode, capsys: pytest.CaptureFixture[str]) -> None:
    node.job = msgspec.structs.replace(node.job, state="not_verified", results=None)

    assert get(node) == 1

    assert "job describe" in capsys.readouterr().err
