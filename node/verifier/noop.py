"""The verifier that compares nothing, and says so. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from node.model import Deal, DirHash, PeerId
from node.verifier.vote import NotVerified, Unchecked, grouped


class Noop:
    """Implements Verifier by taking the first proposal that opened, whatever the others say."""

    name = "noop"

    def judge(self, proposals: Mapping[PeerId, DirHash], deal: Deal) -> Unchecked | NotVerified:  # noqa: ARG002
        """See Verifier.judge. The source is the first in the mapping's order; never ``Verified``."""
        groups = grouped(proposals)
        for peer, value in proposals.items():
            if value:
                return Unchecked(value, peer, groups)
        return NotVerified("no node proposed a result that could be opened", groups)
