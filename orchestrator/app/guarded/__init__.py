"""Doors around kinds of other packages: whatever they raise or give becomes an error of ours, with the name of the kind."""
