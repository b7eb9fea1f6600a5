"""The HTTP API: Litestar on anycorn, in the node's own process."""
