"""That unsealed data is used where it lies, whatever its size. ``make bench``"""

from __future__ import annotations

from pathlib import Path

from bench.bench_unsealed import main


def test_what_the_size_of_unsealed_data_costs(tmp_path: Path) -> None:
    print()
    assert main(str(tmp_path))
