"""Makes of model server that we can start: how their commands are built."""
