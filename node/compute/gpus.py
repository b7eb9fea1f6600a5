"""Which GPUs this machine has, as NVIDIA's own tool says. Asked once, at the start, of operators who give them to jobs.

Whatever is wrong with it, there are none then: absent, slow, or an answer that is not understood whole.
Does not live here: who gets which (``node.compute.capacity``), how an engine passes them on.
Source: ``nvidia-smi --help-query-gpu``; ids are those that ``docker run --gpus device=…`` takes.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass

import trio

from node import limits
from node.compute.commands import ended
from node.model import cut

log = logging.getLogger("quorate.compute")

QUERY = ("nvidia-smi", "--query-gpu=uuid,name,memory.total", "--format=csv,noheader,nounits")

_LINE = re.compile(r"(GPU-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}), ([^,]{1,100}), ([0-9]{1,9})")


@dataclass(frozen=True, slots=True)
class Gpu:
    """``id``: ``GPU-…``, the same after a restart."""

    id: str
    name: str
    memory_bytes: int


async def found(wanted: int | None, seconds: float = limits.GPU_QUERY_S) -> tuple[Gpu, ...]:
    """The first ``wanted`` GPUs of this machine, None: all; logs where there are fewer, or no answer in time."""
    if wanted == 0:
        return ()
    gpus = (await _all(seconds))[:wanted]
    if not gpus or len(gpus) < (wanted or 0):
        log.warning("gpus_missing", extra={"wanted": "all" if wanted is None else wanted, "found": len(gpus)})
    return gpus


async def _all(seconds: float) -> tuple[Gpu, ...]:
    try:
        with trio.fail_after(seconds):
            answer = await ended(QUERY, b"", bytes_max=limits.GPU_QUERY_BYTES)
    except trio.TooSlowError:
        return _none(f"nvidia-smi does not answer within {seconds:g} s")
    except OSError as error:
        return _none(f"nvidia-smi cannot be run: {error.strerror}")
    text = answer.said.decode("utf-8", "replace")
    if answer.code != 0 or answer.is_cut:
        return _none(f"nvidia-smi ended with {answer.code}: {cut(text.strip())}")
    return parsed(text)


def parsed(text: str) -> tuple[Gpu, ...]:
    """The GPUs that its answer names; none when a line of it is not understood."""
    gpus = []
    for line in filter(None, map(str.strip, text.splitlines())):
        match = _LINE.fullmatch(line)
        if match is None:
            return _none(f"nvidia-smi says what is not understood: {cut(line)}")
        gpus.append(Gpu(match[1], match[2].strip(), int(match[3]) * limits.MiB))
    if len({gpu.id for gpu in gpus}) < len(gpus):
        return _none("nvidia-smi names a GPU twice")
    return tuple(gpus[: limits.GPUS_MAX])


def _none(why: str) -> tuple[Gpu, ...]:
    log.warning("no_gpus", extra={"why": why})
    return ()
