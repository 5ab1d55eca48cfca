"""One node among the nodes of a fleet: who is there, who holds what, and how a request finds one that can answer."""
