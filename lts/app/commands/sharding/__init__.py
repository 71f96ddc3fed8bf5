"""Scans divided among the jobs of `predict.py -m shards=N`."""
