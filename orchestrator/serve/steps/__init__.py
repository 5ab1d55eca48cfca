"""What a run does at each vertex: route, answer by reflex or by model, call tools, hand over."""
