"""Real model servers that are installed for the purpose: `make test-servers`. Not collected otherwise (``check_*.py``)."""
