"""Separate machines, each a network namespace: `make test-mesh`, as root. Not collected otherwise (``check_*.py``)."""
