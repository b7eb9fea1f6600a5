"""Who is out there: bootstrap peers, peer exchange, redialling."""
