"""What may be done with the results of a run when it is over: kept where they are, or given up at once."""

from __future__ import annotations


async def stays(exit_code, give_back):
    """They stay where they lie."""
    give_back(True)


async def goes(exit_code, give_back):
    """Nothing of them is needed on the disk."""
    give_back(False)
