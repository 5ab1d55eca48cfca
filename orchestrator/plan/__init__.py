"""From a blueprint and what is observed to a plan: numbered steps, each with its cause. Pure."""
