"""Signs that an answer may be wrong: each is one module, `steps/doubt.py` looks at them in turn."""
