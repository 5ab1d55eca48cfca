"""A fleet: who belongs to it, with which keys, and the servers that join its machines."""
