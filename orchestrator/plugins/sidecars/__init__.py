"""Programs of others that stand beside the runtime and that it cannot do without."""
