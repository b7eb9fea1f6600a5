"""Numbers with units as people write them: ``500m`` of a core, ``512Mi`` of memory, ``10m`` of time. Pure.

Raises UsageProblem that says how to write it.
"""

from __future__ import annotations

import re
from decimal import Decimal

from cli.errors import UsageProblem

_NUMBER = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?)\s*([A-Za-z]*)\Z")
_SIZES = {"k": 1, "K": 1, "M": 2, "G": 3, "T": 4}  # Powers. A small m is no size: docker and Kubernetes disagree on it.
_SECONDS: dict[str, int | Decimal] = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "ms": Decimal("0.001")}


def cores(text: str, flag: str) -> float:
    """``2``, ``0.5`` or ``500m`` (thousandths) as cores."""
    number, unit = _split(text)
    if number is None or unit not in ("", "m") or number == 0:
        raise UsageProblem(f"{flag}: expected a number of cores, got {text!r}", "write it as 2, 0.5 or 500m (0.5)")
    return float(number / 1000 if unit == "m" else number)


def size(text: str, flag: str) -> int:
    """``512Mi`` and ``512MiB`` (powers of 1024), ``512MB`` and ``512M`` (powers of 1000) as bytes."""
    number, unit = _split(text)
    factor = _factor(unit)
    if number is None or factor is None or number * factor < 1:
        raise UsageProblem(
            f"{flag}: expected a size, got {text!r}",
            "write it as 512Mi or 512MiB (536870912 bytes), 512MB (512000000), 2Gi, or plain bytes",
        )
    return int(number * factor)


def seconds(text: str, flag: str) -> float:
    """``90``, ``90s``, ``10m``, ``2h`` or ``1d`` as seconds."""
    number, unit = _split(text)
    if number is None or unit.lower() not in _SECONDS or number == 0:
        raise UsageProblem(f"{flag}: expected a time, got {text!r}", "write it as 90 or 90s, 10m, 2h or 1d")
    return float(number * _SECONDS[unit.lower()])


def shown_size(count: int) -> str:
    """Bytes for people, in powers of 1000."""
    if count < 1000:
        return f"{count} bytes"
    amount = float(count)
    for unit in ("kB", "MB", "GB"):
        amount /= 1000
        if amount < 1000:
            return f"{amount:.1f} {unit}"
    return f"{amount / 1000:.1f} TB"


def _split(text: str) -> tuple[Decimal | None, str]:
    match = _NUMBER.match(text.strip())
    return (None, "") if match is None else (Decimal(match[1]), match[2])


def _factor(unit: str) -> int | None:
    unit = unit.removesuffix("B")
    base, letter = (1024, unit[:-1]) if unit.endswith("i") else (1000, unit)
    if not unit:
        return 1
    return base ** _SIZES[letter] if letter in _SIZES else None
