"""The steps that build a graph, one duty each; ``build`` runs them in order."""
