"""Where the example program is: beside this file in an installed package, in ``examples`` in a checkout."""

from __future__ import annotations

from pathlib import Path

_HERE = Path(__file__).resolve().parent
_PLACES = (_HERE / "census.wasm", _HERE.parents[1] / "examples" / "census" / "census.wasm")


def census() -> Path:
    """The import census, a WASI module. Raises FileNotFoundError when this installation has lost it."""
    for place in _PLACES:
        if place.is_file():
            return place
    raise FileNotFoundError(f"census.wasm is neither at {_PLACES[0]} nor at {_PLACES[1]}; install quorate again")
