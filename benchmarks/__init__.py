"""Measurements: CPU time and ratios taken in one run. `make bench` runs them all; nothing here is part of the tests."""
