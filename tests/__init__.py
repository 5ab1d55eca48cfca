"""The tests: one folder a floor; `real` runs real model servers, `project` looks after the project itself."""
