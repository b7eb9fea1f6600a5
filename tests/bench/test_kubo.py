"""What our driver adds to a Kubo daemon's own speed. ``make bench``"""

from __future__ import annotations

from pathlib import Path

from bench.bench_kubo import main
from needs import Need


def test_a_file_from_kubo_beside_curl(need: Need, tmp_path: Path) -> None:
    need("curl", "apt install curl")
    print()
    assert main(str(tmp_path))
