"""Orchestrator: answers from many small models on the devices at hand."""
