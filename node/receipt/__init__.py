"""Receipts: what a requester signs about a finished job, and how anyone checks it offline."""
