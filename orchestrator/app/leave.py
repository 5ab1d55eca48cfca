"""The end of a process in which code of a user may never return."""

from __future__ import annotations

import logging
import os
import sys
import threading


def leave_if_held(code: int) -> None:
    """End the process now where a thread would hold it: a tool's own code that never returns, for which Python would wait for
    ever."""
    held = [each for each in threading.enumerate() if not each.daemon and each is not threading.current_thread()]
    if not held:
        return
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)
