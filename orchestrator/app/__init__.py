"""The composition root: settings, the table of kinds, the wiring, the background runtime and its client."""
