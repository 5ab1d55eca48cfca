"""The verbs, one file each. A verb has ``EXAMPLES``, ``arguments(parser)`` and ``run(options, terminal) -> exit code``."""
