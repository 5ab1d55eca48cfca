"""Routing strategies: each learns from the candidates once a revision, then decides a request or abstains."""
