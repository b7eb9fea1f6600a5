"""Engines: what runs a workload, one interface for all."""
