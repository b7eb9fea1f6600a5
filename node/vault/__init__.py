"""Files this node keeps for its clients: results and uploaded modules."""
