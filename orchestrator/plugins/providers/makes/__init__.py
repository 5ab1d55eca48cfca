"""The makes of model servers: how each is recognised, what it serves, what it is known to do."""
