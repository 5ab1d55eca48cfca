"""What the command `orchestrator` is: it stands outside of everything that takes time, so that Ctrl-C is answered from the first
import on. Imports nothing itself."""

from __future__ import annotations

import sys

INTERRUPTED = 130
"""As a shell tells SIGINT."""


def main() -> int:
    """Run one command; gives its exit code."""
    try:
        from orchestrator.cli.main import main as run

        return run()
    except KeyboardInterrupt:  # before the program could take it, or while it ends
        sys.stderr.write("interrupted\n")
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
