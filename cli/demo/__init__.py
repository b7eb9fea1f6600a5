"""``demo`` and ``devnet``: several real nodes on this machine, for an evening or for one job.

They use what anybody has: ``node serve`` processes, their API, the example program. What they start ends with them.
"""
