"""The command line: a table of verbs, one file a verb, and how things are printed."""
