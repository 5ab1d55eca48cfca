"""Data files with the models and agent templates that a manifest may name, and their reader."""
