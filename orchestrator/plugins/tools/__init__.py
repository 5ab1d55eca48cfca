"""The built-in tools, one file a kind."""
