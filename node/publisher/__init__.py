"""Where results go that the requester does not keep."""
