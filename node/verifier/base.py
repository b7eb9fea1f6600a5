"""What every verifier promises: a verdict over one shard's proposals. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from node.model import Deal, DirHash, PeerId
from node.verifier.vote import NotVerified, Unchecked, Verified

Verdict = Verified | NotVerified | Unchecked


class Verifier(Protocol):
    """Judges once, when every execution of the shard has proposed or failed."""

    @property
    def name(self) -> str:
        """``verifier`` in job specs."""

    def judge(self, proposals: Mapping[PeerId, DirHash], deal: Deal) -> Verdict:
        """The verdict. ``proposals`` holds those who proposed, ``""`` for a proposal that did not open.

        It never raises, and the verdict depends on who proposed what, not on the order (but for ``Unchecked.source``).
        """
