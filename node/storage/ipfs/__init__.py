"""IPFS: content by CID, as blocks that prove themselves, from whoever has them."""
