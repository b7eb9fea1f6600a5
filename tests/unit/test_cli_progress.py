"""A download says how far it has come when it takes long, and nothing when it does not."""

from __future__ import annotations

from cli.progress import EVERY_S, Progress


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_what_is_quick_is_not_told() -> None:
    told: list[str] = []
    clock = Clock()
    progress = Progress(1_000, 5_000, told.append, clock)
    clock.now += EVERY_S - 0.01
    progress.came(files=1_000, size=5_000)
    assert told == []


def test_what_takes_long_is_told_now_and_then() -> None:
    told: list[str] = []
    clock = Clock()
    progress = Progress(1_000, 5_000_000, told.append, clock)
    for _ in range(40):
        clock.now += EVERY_S / 10
        progress.came(files=25, size=125_000)
    assert told == [
        "250 of 1000 files, 1.2 MB of 5.0 MB",
        "500 of 1000 files, 2.5 MB of 5.0 MB",
        "750 of 1000 files, 3.8 MB of 5.0 MB",
        "1000 of 1000 files, 5.0 MB of 5.0 MB",
    ]
