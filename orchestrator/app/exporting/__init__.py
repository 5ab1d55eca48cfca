"""A compiled manifest becomes the files that run it under another engine."""
