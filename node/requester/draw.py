"""The draw, under the name that the requester knows it by; the rule lives where a receipt can repeat it."""

from node.verifier.draw import draw

__all__ = ["draw"]
