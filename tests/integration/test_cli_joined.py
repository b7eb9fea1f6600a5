"""Many small result files come together, over real sockets: the same files as alone, and nothing that did not win."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from doubles.fakenode import FakeNode, Handler, asked_from, breaks_off, fake_node, problem, says
from doubles.trees import files_in
from unit.receipts import HONEST, finished, spec_of

from cli.joined import SMALL_BYTES, TOGETHER_MIN
from cli.main import run

BIG = "outputs/50-big"
FILES = {
    "exitCode": b"0",
    "stderr": b"",
    "stdout": b"hello\n",
    **{f"outputs/{number:02}": b"%d\n" % number * number for number in range(100)},
    BIG: b"b" * (SMALL_BYTES + 1),
}
WHOLE = b"".join(FILES[name] for name in sorted(FILES) if name < BIG)


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeNode]:
    """Its one large file stands in the middle of the list."""
    with fake_node(finished(spec_of(), HONEST, FILES), FILES) as fake:
        asked_from(tmp_path, fake, monkeypatch)
        yield fake


def get(node: FakeNode) -> int:
    return run(["job", "get", node.job.id, "--output-dir", "results"])


def alone(node: FakeNode) -> list[str]:
    """The files that were asked for by their names."""
    prefix = node.path("/results/")
    return [seen.path.removeprefix(prefix) for seen in node.seen if seen.path.startswith(prefix)]


def test_small_files_come_together_and_a_large_one_alone(node: FakeNode, tmp_path: Path) -> None:
    assert get(node) == 0

    assert files_in(tmp_path / "results") == FILES
    assert alone(node) == [BIG]
    assert len(node.asked(node.path("/joined-results"))) == 2


def test_what_breaks_off_goes_on_file_by_file(
    node: FakeNode, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    node.misbehaves[node.path("/joined-results")].append(breaks_off(WHOLE, after=len(WHOLE) - 3))

    assert get(node) == 0

    assert files_in(tmp_path / "results") == FILES
    assert "going on file by file" in capsys.readouterr().err
    assert "outputs/00" not in alone(node)
    assert "outputs/99" in alone(node)


def test_a_node_that_cannot_join_files_gives_them_one_by_one(node: FakeNode, tmp_path: Path) -> None:
    node.misbehaves[node.path("/joined-results")].append(problem(404, "no_such_route", "there is nothing here"))

    assert get(node) == 0

    assert files_in(tmp_path / "results") == FILES
    assert len(alone(node)) == len([content for content in FILES.values() if content])


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (says(WHOLE.replace(b"7\n", b"8\n")), "sha256 differs"),
        (says(WHOLE[:-1]), "ended after"),
        (says(WHOLE + b"more"), "sent more than"),
        (says(b""), "ended after"),
        (problem(404, "not_found", "it is gone"), "it is gone"),
    ],
    ids=["other bytes", "too few", "too many", "nothing", "a refusal"],
)
def test_what_is_not_what_won_is_refused(
    node: FakeNode,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    act: Callable[[Handler], None],
    words: str,
) -> None:
    node.misbehaves[node.path("/joined-results")].append(act)

    assert get(node) == 1

    assert words in capsys.readouterr().err
    assert not (tmp_path / "results").exists()


def test_what_came_before_is_not_asked_for_again(node: FakeNode, tmp_path: Path) -> None:
    node.misbehaves[node.path(f"/results/{BIG}")].append(says(b"c" * len(FILES[BIG])))
    assert get(node) == 1
    joined = len(node.asked(node.path("/joined-results")))

    assert get(node) == 0

    assert files_in(tmp_path / "results") == FILES
    assert len(node.asked(node.path("/joined-results"))) == joined
    assert alone(node) == [BIG, BIG]


def test_a_few_files_come_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUORATE_KEY", str(tmp_path / "client.key"))
    monkeypatch.chdir(tmp_path)
    few = {name: FILES[name] for name in sorted(FILES)[: TOGETHER_MIN - 1]}
    with fake_node(finished(spec_of(), HONEST, few), few) as fake:
        assert run(["job", "get", fake.job.id, "--api", fake.url, "--output-dir", "few"]) == 0
        assert fake.asked(fake.path("/joined-results")) == []
