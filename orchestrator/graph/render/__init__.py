"""Drawings of an agent graph: text, Mermaid, DOT, JSON and SVG. Each is one function from a graph to a text."""
