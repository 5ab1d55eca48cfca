"""From the text of one or several YAML files to a checked, resolved manifest."""
