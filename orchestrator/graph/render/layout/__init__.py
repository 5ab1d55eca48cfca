"""A layered drawing of a graph, after Sugiyama, Tagawa and Toda (1981): columns, order in a column, places, curves."""
