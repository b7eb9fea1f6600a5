"""``combined_results/``: what several shards left, as one (``node.receipt.layout`` says what that is).

It is made when all files of all shards are there and checked, below the partial folder, so nobody sees half of it. The
files of output volumes are links to those in ``per_shard/`` where the filesystem has links: they cost no room.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from node.model import STREAMS
from node.receipt.files import Manifests, stream_pieces
from node.receipt.layout import COMBINED, PER_SHARD, combined


def build(manifests: Manifests, results: Path) -> int:
    """Make it in ``results``; how many files are in ``per_shard/`` alone because another has their name.

    Raises OSError.
    """
    target = results / COMBINED
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(mode=0o700)
    for stream in STREAMS:
        with (target / stream).open("wb") as out:
            for piece in stream_pieces(manifests, results, stream):
                out.write(piece)
    made = combined(manifests)
    for name, (shard, _) in made.files.items():
        place = target / name
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _link(results / PER_SHARD / str(shard) / name, place)
    return made.differing


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
