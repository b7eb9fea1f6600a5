"""Quorate: a peer-to-peer node for verified compute where the data already is."""
