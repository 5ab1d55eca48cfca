"""Sensors of the device: the operating system, drivers of accelerators."""
