"""This machine as a node of fleets: its engines as the workers of meshes, and the processes that join it to the others."""
