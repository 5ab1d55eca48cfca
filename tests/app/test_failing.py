"""What `ORCHESTRATOR_FAIL_AT` asks for is done, or refused with what could have been asked."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from orchestrator.app.failing import arm_kill
from orchestrator.core import failpoint
from orchestrator.core.errors import UsageError
from orchestrator.core.failpoint import disarm


@pytest.fixture(autouse=True)
def _disarmed() -> Iterator[None]:
    yield
    disarm()


@pytest.mark.parametrize("asked", ["store.before-add", "store.before-add:1", "store.before-add:3"])
def test_a_known_point_is_armed(asked: str) -> None:
    """Also one of a store, which is opened only later."""
    arm_kill(asked)
    assert list(failpoint._armed) == ["store.before-add"]


def test_nothing_asked_arms_nothing() -> None:
    """The usual case."""
    arm_kill("")
    assert not failpoint._armed


@pytest.mark.parametrize(
    ("asked", "message", "cure"),
    [
        ("store.before-ad", 'there is no failpoint "store.before-ad"', 'did you mean "store.before-add"'),
        ("x", 'there is no failpoint "x"', "store.after-commit"),
        (":3", 'there is no failpoint ""', "store.after-commit"),
        ("store.before-add:x", '"x" is no number of a time', "write store.before-add, or store.before-add:3"),
        ("store.before-add:0", '"0" is no number of a time', "for the third time"),
        ("store.before-add:", '"" is no number of a time', "for the third time"),
        ("store.before-add:²", '"²" is no number of a time', "for the third time"),
    ],
)
def test_what_cannot_be_armed_is_refused(asked: str, message: str, cure: str) -> None:
    """A test that never reaches its point would otherwise show nothing, in silence."""
    with pytest.raises(UsageError) as caught:
        arm_kill(asked)
    assert caught.value.message == f"ORCHESTRATOR_FAIL_AT: {message}"
    assert cure in caught.value.cure
    assert not failpoint._armed
