"""From the flags about which jobs are taken, and what they get, to a configuration."""

from __future__ import annotations

from pathlib import Path

import pytest
from doubles.peers import peer

from cli.errors import UsageProblem
from cli.serve import config
from node import limits
from node.config import SelectionConfig

KEY, MODULE = "a" * 64, "b" * 64


def test_without_flags_everything_is_taken() -> None:
    assert config([]).selection == SelectionConfig()


def test_flags_become_a_policy(tmp_path: Path) -> None:
    modules = tmp_path / "modules"
    modules.write_text(f"# ours\n\n{MODULE}  # the census\n  {KEY}\n")
    made = config(
        [
            *("--job-selection-data-locality", "local", "--job-selection-reject-stateless"),
            *("--job-selection-probe-exec", "jq -e .spec", "--job-selection-probe-http", "http://127.0.0.1:1/take"),
            *("--allow-image-digest", f"sha256:{KEY}", "--allow-module", f"@{modules}", "--allow-module", "c" * 64),
            *("--allow-client", KEY, "--allow-client", peer(1), "--allow-client", f"{peer(2)}/{KEY}"),
        ]
    )
    assert made.selection == SelectionConfig(
        data_locality="local",
        rejects_stateless=True,
        probe_exec="jq -e .spec",
        probe_http="http://127.0.0.1:1/take",
        image_digests=frozenset({f"sha256:{KEY}"}),
        modules=frozenset({MODULE, KEY, "c" * 64}),
        clients=frozenset({KEY, peer(1), f"{peer(2)}/{KEY}"}),
    )


def test_an_empty_list_lets_nothing_in(tmp_path: Path) -> None:
    empty = tmp_path / "nobody"
    empty.write_text("# nobody\n")
    assert config(["--allow-client", f"@{empty}"]).selection.clients == frozenset()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--allow-module", "0" * 63], "--allow-module.*not the sha256"),
        (["--allow-module", f"sha256:{KEY}"], "--allow-module"),
        (["--allow-image-digest", KEY], "--allow-image-digest"),
        (["--allow-client", "alice"], "--allow-client"),
        (["--allow-client", f"{peer(1)}/"], "--allow-client"),
        (["--allow-client", f"{KEY}/{KEY}"], "--allow-client"),
        (["--allow-client", "@/nowhere"], "/nowhere cannot be read"),
        (["--job-selection-probe-exec", " "], "expected a command"),
        (["--limit-total-gpu", "some"], "--limit-total-gpu"),
        (["--limit-total-gpu", "65"], "--limit-total-gpu"),
        (["--limit-job-timeout", "8d"], "--limit-job-timeout"),
        (["--limit-job-timeout", "soon"], "--limit-job-timeout"),
    ],
)
def test_a_list_that_makes_no_sense_stops_the_start(flags: list[str], words: str) -> None:
    with pytest.raises(UsageProblem, match=words):
        config(flags)


def test_what_is_said_of_files_is_said_where_one_was_given(tmp_path: Path) -> None:
    listed = tmp_path / "listed"
    listed.write_text("zzz\n")
    with pytest.raises(UsageProblem) as of_flag:
        config(["--allow-module", "zzz"])
    with pytest.raises(UsageProblem) as of_file:
        config(["--allow-module", f"@{listed}"])
    assert "line" not in of_flag.value.hint
    assert "each line of the file" in of_file.value.hint


def test_a_list_without_end_stops_the_start(tmp_path: Path) -> None:
    endless = tmp_path / "endless"
    with endless.open("wb") as file:
        file.truncate(limits.ALLOW_LIST_BYTES_MAX + 1)
    with pytest.raises(UsageProblem, match="has more than"):
        config(["--allow-module", f"@{endless}"])


def test_gpus_and_time_are_limited_like_the_rest() -> None:
    capacity = config(["--limit-total-gpu", "all", "--limit-job-gpu", "1", "--limit-job-timeout", "90m"]).capacity
    assert (capacity.total_gpus, capacity.job_gpus, capacity.job_timeout_s) == (None, 1, 5400.0)
    capacity = config(["--limit-total-gpu", "2"]).capacity
    assert (capacity.total_gpus, capacity.job_gpus, capacity.job_timeout_s) == (2, None, limits.TIMEOUT_S_MAX)
    assert config([]).capacity.total_gpus == 0
    with pytest.raises(UsageProblem, match="--limit-job-gpu"):
        config(["--limit-job-gpu", "1"])
