"""Words that make a fake library misbehave: ``CRASH`` ends the process by a signal, ``HANG`` stops, ``RAISE`` raises, ``PRINT``
writes to the output, ``ENVIRONMENT`` raises with the names of the variables that this process has."""

from __future__ import annotations

import os
import signal
import sys
import time

ROUTE = ['{"route": ', '"billing", ', '"sure": 3}']
"""What is said where a schema is asked for."""


def act(word: str) -> None:
    """Do what the word says."""
    match word.strip():
        case "CRASH":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "HANG":
            time.sleep(3600)
        case "RAISE":
            raise RuntimeError("out of device memory")
        case "ENVIRONMENT":
            raise RuntimeError(" ".join(sorted(os.environ)))
        case "PRINT":
            sys.stdout.write("a library that talks\n")
            sys.stdout.flush()
        case _:
            return


def words_of(text: str) -> list[str]:
    """A token is a word with the space behind it; the last has none."""
    words = text.split()
    return [*(f"{word} " for word in words[:-1]), *words[-1:]]
