"""The network between nodes: one interface, libp2p and memory behind it."""
