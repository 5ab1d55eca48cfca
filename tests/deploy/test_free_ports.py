"""Ports that are drawn together: each another one, and none that others are about to take."""

from __future__ import annotations

import pytest

from orchestrator.deploy.free_port import free_ports, is_free


def test_those_drawn_together_are_different_and_free() -> None:
    found = free_ports("127.0.0.1", 50)
    assert len(set(found)) == 50 and all(is_free("127.0.0.1", each) for each in found)


def test_none_is_one_that_others_are_about_to_take(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody listens there yet, so that the system would give it out."""

    class Given:
        """A socket to which the system gives the next of these."""

        numbers = iter((4001, 4002, 4003))

        def __enter__(self) -> Given:
            return self

        def __exit__(self, *_: object) -> None:
            """Nothing is held."""

        def getsockname(self) -> tuple[str, int]:
            return "127.0.0.1", next(self.numbers)

    # which port the system gives out is its own to choose
    monkeypatch.setattr("socket.create_server", lambda *_, **__: Given())
    assert free_ports("127.0.0.1", 2, but=(4002,)) == [4001, 4003]
