"""Figures of many runs: who answered, how much stayed local, what it cost beside the cloud alone."""
