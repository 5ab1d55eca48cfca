"""What fits the ports: providers, strategies, tools, stores, sinks. Each sees the core and the ports only."""
