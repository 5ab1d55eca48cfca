"""Encoders that run in this process: a text becomes a vector, so that texts of like meaning are near each other."""
