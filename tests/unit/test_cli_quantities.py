"""Numbers with units: what they mean, and that what does not parse says how to write it."""

from __future__ import annotations

import pytest

from cli.errors import UsageProblem
from cli.quantities import cores, seconds, shown_size, size


@pytest.mark.parametrize(("text", "value"), [("500m", 0.5), ("2", 2.0), ("0.25", 0.25), (" 1 ", 1.0), ("1500m", 1.5)])
def test_cores(text: str, value: float) -> None:
    assert cores(text, "--cpu") == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("512Mi", 536_870_912),
        ("512MiB", 536_870_912),
        ("512MB", 512_000_000),
        ("512M", 512_000_000),
        ("1Ki", 1024),
        ("1k", 1000),
        ("1KiB", 1024),
        ("2Gi", 2 * 1024**3),
        ("1TB", 10**12),
        ("1.5Gi", 1_610_612_736),
        ("17", 17),
        ("17B", 17),
    ],
)
def test_sizes(text: str, value: int) -> None:
    assert size(text, "--memory") == value


@pytest.mark.parametrize(
    ("text", "value"),
    [("90", 90), ("90s", 90), ("10m", 600), ("2h", 7200), ("1d", 86400), ("0.5", 0.5), ("250ms", 0.25)],
)
def test_times(text: str, value: float) -> None:
    assert seconds(text, "--timeout") == value


@pytest.mark.parametrize("text", ["", "m", "-1", "0", "1.", "1e3", "5 m m", "2c", "nan", "inf", "٣"])
def test_what_is_no_number_of_cores_says_how_to_write_it(text: str) -> None:
    with pytest.raises(UsageProblem, match="--cpu") as caught:
        cores(text, "--cpu")
    assert "500m" in caught.value.hint


@pytest.mark.parametrize(
    "text", ["", "Mi", "512m", "512mb", "512XB", "512MiBB", "0", "0.0001Ki", "-1", "i", "1i", "1Mii"]
)
def test_what_is_no_size_says_how_to_write_it(text: str) -> None:
    with pytest.raises(UsageProblem, match="--memory") as caught:
        size(text, "--memory")
    assert "512Mi" in caught.value.hint


@pytest.mark.parametrize("text", ["", "soon", "10 minutes", "0", "-5", "1w"])
def test_what_is_no_time_says_how_to_write_it(text: str) -> None:
    with pytest.raises(UsageProblem, match="--timeout") as caught:
        seconds(text, "--timeout")
    assert "10m" in caught.value.hint


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (1000, "1.0 kB"), (113_800, "113.8 kB"), (2 * 10**12, "2.0 TB")],
)
def test_sizes_for_people(count: int, text: str) -> None:
    assert shown_size(count) == text
