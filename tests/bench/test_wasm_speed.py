"""What the deterministic profile costs beside wasmtime as it comes. ``make bench``"""

from __future__ import annotations

from bench.bench_wasm import main


def test_the_cost_of_the_deterministic_profile() -> None:
    print()
    main()
