"""An error that crosses a task group comes out in an exception group; callers want the error itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def unwrapped(known: type[BaseException] = BaseException) -> Iterator[None]:
    """Raise the only error of a group in place of the group; a group of several stays. Where some kind of error is ``known``
    to the caller, the first of that kind stands for the group, and a group without any stays."""
    try:
        yield
    except BaseExceptionGroup as group:
        errors = list(_leaves(group))
        told = [error for error in errors if isinstance(error, known)]
        if not told or (known is BaseException and len(errors) > 1):
            raise
        raise told[0] from (told[0].__cause__ if len(errors) == 1 else group)


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _leaves(each)
    else:
        yield error
