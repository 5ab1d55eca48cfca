"""The data plane: from a request to a result."""
