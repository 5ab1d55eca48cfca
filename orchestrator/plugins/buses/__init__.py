"""What carries words between the nodes of a fleet."""
