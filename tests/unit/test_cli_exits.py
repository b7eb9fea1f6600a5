"""One table from error to exit code, and all of it in ``--help``."""

from __future__ import annotations

import pytest

from cli import errors as cli_errors
from cli.exits import MEANINGS, Exit, epilog, of_error, of_job
from node import errors


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.OperatorError("x"), 1),
        (errors.KeyFileError("x"), 1),
        (errors.StorageError("x"), 1),
        (errors.InvalidSpec("$.name", "x"), 2),
        (errors.InvalidModule("x"), 2),
        (cli_errors.UsageProblem("x"), 2),
        (cli_errors.SpecRefused("x"), 2),
        (cli_errors.Refused("x"), 1),
        (cli_errors.BrokenAnswer("x"), 1),
        (cli_errors.Unreachable("x"), 4),
        (cli_errors.TimedOut("x"), 5),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_error_has_the_code_of_its_nearest_class(error: errors.NodeError, code: int) -> None:
    assert of_error(error) == code


@pytest.mark.parametrize(
    ("state", "failure", "code"),
    [
        ("completed", None, 0),
        ("not_verified", None, 3),
        ("failed", "time", 5),
        ("failed", "bids", 1),
        ("failed", None, 1),
        ("cancelled", None, 1),
        ("a state of later versions", None, 1),
    ],
)
def test_a_job_that_ended_has_a_code(state: str, failure: str | None, code: int) -> None:
    assert of_job(state, failure) == code


@pytest.mark.parametrize("rich", [True, False])
def test_every_code_is_documented(rich: bool) -> None:
    assert set(MEANINGS) == set(Exit)
    for code, meaning in MEANINGS.items():
        assert f"{code.value:>3}  {meaning}" in epilog(rich=rich)
