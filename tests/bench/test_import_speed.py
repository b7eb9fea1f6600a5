"""What CIDs cost beside a bare sha256 of the same files. ``make bench``"""

from __future__ import annotations

from pathlib import Path

from bench.bench_importer import main


def test_the_cost_of_cids(tmp_path: Path) -> None:
    print()
    assert main(str(tmp_path))
