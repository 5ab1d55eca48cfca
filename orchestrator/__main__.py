"""`python -m orchestrator`: the command, for a Python whose scripts are not on the PATH."""

from __future__ import annotations

import sys

from orchestrator.cli.entry import main

if __name__ == "__main__":
    sys.exit(main())
