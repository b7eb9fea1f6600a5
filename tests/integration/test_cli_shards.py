"""Jobs of several shards on the command line: fetched into two layouts, checked, and honest about what is missing."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
import pytest
from doubles.fakenode import FakeNode, fake_node, says
from doubles.trees import files_in
from unit.receipts import many

from cli.main import run
from node.api.views import ShardList
from node.receipt.check import Holds, check

AGREED, LOST = ("right", "right", "wrong"), ("right", "wrong", "unreadable")
FILES: list[dict[str, bytes]] = [
    {"exitCode": b"0", "stdout": b"one\n", "stderr": b"", "outputs/a": b"A", "outputs/same": b"S"},
    {"exitCode": b"0", "stdout": b"two\n", "stderr": b"e", "outputs/b/c": b"B", "outputs/same": b"S"},
    {"exitCode": b"0", "stdout": b"three\n", "stderr": b"f", "outputs/a": b"other", "outputs/b": b"a file"},
]


def flat(files: Sequence[Mapping[str, bytes]]) -> dict[str, bytes]:
    return {f"per_shard/{n}/{name}": content for n, of in enumerate(files) for name, content in of.items()}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUORATE_KEY", str(tmp_path / "client.key"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeNode]:
    with fake_node(many([AGREED] * 3, FILES), flat(FILES)) as fake:
        monkeypatch.setenv("QUORATE_API", fake.url)
        yield fake


@pytest.fixture
def partial(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeNode]:
    """Its second shard was not verified."""
    with fake_node(many([AGREED, LOST, AGREED], FILES), flat([FILES[0], {}, FILES[2]])) as fake:
        monkeypatch.setenv("QUORATE_API", fake.url)
        yield fake


def test_several_shards_are_fetched_each_and_all_together(node: FakeNode, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["job", "get", node.job.id, "--output-dir", "results"]) == 0

    assert files_in(Path("results")) == {
        **flat(FILES),
        "combined_results/stdout": b"one\ntwo\nthree\n",
        "combined_results/stderr": b"ef",
        "combined_results/outputs/a": b"A",
        "combined_results/outputs/b/c": b"B",
        "combined_results/outputs/same": b"S",
    }
    assert isinstance(check(Path("results.receipt.json").read_bytes(), Path("results")), Holds)
    err = capsys.readouterr().err
    assert "2 files share a name with another and differ" in err
    assert "3 shards (3 completed)" in err


def test_what_was_fetched_is_verified_offline(node: FakeNode, capsys: pytest.CaptureFixture[str]) -> None:
    run(["job", "get", node.job.id, "--output-dir", "results"])
    capsys.readouterr()

    assert run(["verify", "results.receipt.json", "results"]) == 0
    assert "3 of 3 shards" in capsys.readouterr().err
    Path("results/combined_results/stdout").write_bytes(b"two\n")
    assert run(["verify", "results.receipt.json", "results"]) == 1
    assert "combined_results/stdout" in capsys.readouterr().err
    shutil.rmtree("results/combined_results")
    assert run(["verify", "results.receipt.json", "results"]) == 0


def test_what_was_won_is_fetched_and_the_exit_code_says_that_not_all_was(
    partial: FakeNode, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["job", "get", partial.job.id, "--output-dir", "results"]) == 3

    fetched = files_in(Path("results"))
    assert fetched["combined_results/stdout"] == b"one\nthree\n"
    assert not any(name.startswith("per_shard/1/") for name in fetched)
    capsys.readouterr()
    assert run(["verify", "results.receipt.json", "results"]) == 0
    assert "no result of 1 of 3 shards: 1" in capsys.readouterr().err


def test_a_job_that_is_not_whole_says_which_shard_and_why(
    partial: FakeNode, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["job", "wait", partial.job.id]) == 3

    err = capsys.readouterr().err
    assert "3 shards: 2 completed, 1 not verified" in err
    assert "shard 1: not verified: " in err
    assert "downloads what was won" in err


def test_a_fetch_that_broke_off_goes_on_and_makes_the_whole_again(node: FakeNode) -> None:
    node.misbehaves[node.path("/results/per_shard/2/stdout")].append(says(b"three\nand more"))

    assert run(["job", "get", node.job.id, "--output-dir", "results"]) == 1
    assert not Path("results").exists()
    assert run(["job", "get", node.job.id, "--output-dir", "results"]) == 0

    assert len(node.asked(node.path("/results/per_shard/0/stdout"))) == 1
    assert files_in(Path("results"))["combined_results/stdout"] == b"one\ntwo\nthree\n"


@pytest.mark.parametrize("name", ["stdout", "per_shard/3/stdout", "per_shard/00/stdout", "per_shard/0/../../x"])
def test_files_of_no_shard_are_refused(node: FakeNode, name: str) -> None:
    files = list(node.manifest.files)
    files[-1] = msgspec.structs.replace(files[-1], name=name)
    node.manifest = msgspec.structs.replace(node.manifest, files=tuple(files))

    assert run(["job", "get", node.job.id, "--output-dir", "results"]) == 1
    assert not Path("results").exists()


def test_a_shard_that_is_left_out_is_missed(node: FakeNode, capsys: pytest.CaptureFixture[str]) -> None:
    files = tuple(file for file in node.manifest.files if not file.name.startswith("per_shard/1/"))
    node.manifest = msgspec.structs.replace(node.manifest, files=files)

    assert run(["job", "get", node.job.id, "--output-dir", "results"]) == 1
    assert "the job ended with" in capsys.readouterr().err


def test_a_job_that_says_else_than_its_files_is_refused(node: FakeNode) -> None:
    first, second, third = node.job.details
    node.job = msgspec.structs.replace(
        node.job, details=(first, msgspec.structs.replace(second, results=None, state="failed"), third)
    )

    assert run(["job", "get", node.job.id, "--output-dir", "results"]) == 1


def test_describe_has_the_sum_and_then_what_failed(partial: FakeNode, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["job", "describe", partial.job.id]) == 0

    out = capsys.readouterr().out
    assert out.index("3 shards: 2 completed, 1 not verified") < out.index("shard 1: not verified")
    assert "sharding" in out
    assert "2 of 3 agree" in out


def test_all_shards_are_shown_page_by_page(partial: FakeNode, capsys: pytest.CaptureFixture[str]) -> None:
    whole = partial.job.details
    pages = partial.misbehaves[partial.path("/shards")]
    for page in (whole[:2], whole[2:], ()) * 3:
        pages.append(says(msgspec.json.encode(ShardList(shards=page))))

    assert run(["job", "shards", partial.job.id]) == 0
    assert [line.split("\t")[:2] for line in capsys.readouterr().out.splitlines()] == [
        ["0", "completed"],
        ["1", "not_verified"],
        ["2", "completed"],
    ]
    assert run(["job", "shards", partial.job.id, "--troubled"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("1\tnot_verified\t")
    assert "not verified: " in line
    assert run(["job", "shards", partial.job.id, "--json"]) == 0
    assert msgspec.json.decode(capsys.readouterr().out, type=ShardList).shards == whole


def test_shards_that_go_round_in_circles_are_the_nodes_fault(
    partial: FakeNode, capsys: pytest.CaptureFixture[str]
) -> None:
    page = says(msgspec.json.encode(ShardList(shards=partial.job.details)))
    partial.misbehaves[partial.path("/shards")] += [page, page]

    assert run(["job", "shards", partial.job.id]) == 1
    assert "no order" in capsys.readouterr().err
