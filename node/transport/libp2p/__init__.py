"""Transport over py-libp2p: TCP + Noise + Yamux, hardened. The only importer of libp2p."""
