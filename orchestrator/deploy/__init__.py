"""The control plane: from a plan to a live deployment."""
