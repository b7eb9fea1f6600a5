"""Blocks between nodes of ours, and with Kubo: MB/s, small files and memory. ``make bench``"""

from __future__ import annotations

from pathlib import Path

from bench.bench_bitswap import main


def test_the_speed_of_the_exchange(ipfs_program: str, tmp_path: Path) -> None:
    print()
    assert main(str(tmp_path), ipfs_program)
