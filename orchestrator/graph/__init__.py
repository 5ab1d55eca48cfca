"""From a resolved manifest to a frozen graph of routers, agents, models, tools and nodes, and what is proved over it."""
