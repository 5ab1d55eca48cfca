"""How each make of model server that runs already loads, unloads, pulls and removes models (``ports/lifecycle.py``)."""
