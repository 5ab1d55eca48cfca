"""What simulated servers do with their models: load, unload, pull, remove, and go wrong at it."""
