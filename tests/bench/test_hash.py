"""What hashing a result tree costs beside a bare hashlib loop. ``make bench``"""

from __future__ import annotations

from pathlib import Path

from bench.bench_hash import main


def test_the_cost_of_hashing_a_tree(tmp_path: Path) -> None:
    print()
    main(str(tmp_path))
