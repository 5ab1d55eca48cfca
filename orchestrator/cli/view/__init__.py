"""How things are printed: diagnostics, tables, plans, progress, results."""
