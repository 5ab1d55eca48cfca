"""Properties proved over the whole graph, one file a property family; each finding holds its counter-example."""
