"""The manifest v1 as frozen models: exactly what a user may write. Nothing is inferred here (see ``resolve``)."""
