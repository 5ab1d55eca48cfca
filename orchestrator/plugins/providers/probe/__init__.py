"""Probes: what a server really does with a model, asked and judged."""
