"""Small protocols that the outside world must fit: model servers, strategies, tools, stores, sinks, the host."""
