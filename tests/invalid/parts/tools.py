"""A module that a manifest of this corpus names."""


def make_quote() -> str:
    """Nothing."""
    return ""
