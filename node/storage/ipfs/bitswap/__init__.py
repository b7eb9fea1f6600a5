"""The exchange of blocks between IPFS nodes (https://specs.ipfs.tech/bitswap-protocol/), versions 1.0.0 to 1.2.0."""
