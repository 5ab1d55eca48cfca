"""Checks over a whole manifest, one family of faults a file."""
