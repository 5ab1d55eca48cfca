"""A deployment as plain documents of other engines: Kubernetes, Compose, systemd. Pure."""
