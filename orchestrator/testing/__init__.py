"""Public test doubles: a simulated model endpoint (in process and over HTTP), a conformance suite, simple fakes."""
