"""Measuring the routers of a manifest on its own examples and on labelled cases, without a runtime."""
