"""Durable state on this device."""
