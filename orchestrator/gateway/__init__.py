"""What listens: the OpenAI-compatible front door on loopback, and the control API on a private socket."""
