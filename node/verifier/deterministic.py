"""The verifier that compares: the same program on the same data must give the same bytes on every node. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from node.model import Deal, DirHash, PeerId
from node.verifier.vote import NotVerified, Verified, resolved, tally


class Deterministic:
    """Implements Verifier by the vote of ``node.verifier.vote``."""

    name = "deterministic"

    def judge(self, proposals: Mapping[PeerId, DirHash], deal: Deal) -> Verified | NotVerified:
        """See Verifier.judge."""
        return tally(proposals, confidence=resolved(deal))
