"""A deployment under load and faults in virtual time: the fleet's own code over a simulated net, with simulated model servers."""
