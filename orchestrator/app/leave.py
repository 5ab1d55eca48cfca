"""The end of a process in which code of a user may never return."""

from __future__ import annotations

import logging
import os
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def left_for_sure() -> Iterator[None]:
    """The block is the whole program. However it ends, the process ends with it: a tool's own code that never returns holds a
    thread for which Python would wait for ever."""
    try:
        yield
    except SystemExit as ended:
        leave_if_held(ended.code if isinstance(ended.code, int) else int(ended.code is not None))
        raise
    except BaseException:  # whatever it is: it is shown, and raised again where nothing holds the process
        if held():
            traceback.print_exc()
        leave_if_held(1)
        raise


def leave_if_held(code: int) -> None:
    """End the process now where a thread would hold it."""
    if not held():
        return
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # it is closed, or nobody reads it any more
            stream.flush()
    os._exit(code)


def held() -> bool:
    """Whether a thread is left that Python would wait for."""
    return any(not each.daemon and each is not threading.current_thread() for each in threading.enumerate())
