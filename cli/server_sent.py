"""Reading server-sent events (WHATWG HTML, 9.2.6) from pieces of a body. Pure.

Lives here: framing. Does not live here: what an event means, connections.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from cli.errors import BrokenAnswer

EVENT_BYTES_MAX = 1024 * 1024


def payloads(pieces: Iterable[bytes]) -> Iterator[bytes | None]:
    """The ``data`` of each event; None for a piece that completed none, so that the caller can look at the clock.

    Raises BrokenAnswer for an event that never ends.
    """
    pending, lines = b"", list[bytes]()
    for piece in pieces:
        *whole, pending = (pending + piece).replace(b"\r\n", b"\n").split(b"\n")
        complete = 0
        for line in whole:
            if line.startswith(b"data:"):
                lines.append(line.removeprefix(b"data:").removeprefix(b" "))
            elif not line and lines:
                yield b"\n".join(lines)
                lines.clear()
                complete += 1
        if len(pending) + sum(map(len, lines)) > EVENT_BYTES_MAX:
            raise BrokenAnswer(f"an event of more than {EVENT_BYTES_MAX} bytes")
        if not complete:
            yield None
