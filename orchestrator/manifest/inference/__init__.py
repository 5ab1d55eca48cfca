"""What a bare manifest means, one question a file: parts and places, spellings, templates, tools, models, routers, escalation."""
