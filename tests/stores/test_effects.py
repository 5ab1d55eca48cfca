"""What exclusive agents did and what was answered to other nodes, over a real file."""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.core.errors import LeaseLost
from orchestrator.core.request import Result
from orchestrator.plugins.stores.effects import KEEP_SECONDS
from orchestrator.plugins.stores.sqlite import open_stores
from orchestrator.ports.effects import Effect


def effect(epoch: int, call: str = "once_1:1", agent: str = "calendar") -> Effect:
    return Effect("shop", agent, "book.add", call, epoch)


def rows(path: Path, sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


def test_an_older_epoch_is_refused_also_after_a_restart(tmp_path: Path) -> None:
    """By agent: another one has epochs of its own."""
    path = tmp_path / "state.db"
    stores = open_stores(path)
    for epoch in (5, 5, 7):
        stores.effects.act(effect(epoch, f"once_{epoch}:1"))
    stores.close()
    again = open_stores(path)
    with pytest.raises(LeaseLost, match="acts under epoch 6, and one of epoch 7 has acted already") as caught:
        again.effects.act(effect(6))
    assert caught.value.code == "ORC579"
    again.effects.act(effect(1, agent="mail"))
    again.effects.act(effect(7, "once_9:1"))
    again.close()
    assert rows(path, "SELECT call, agent, function, epoch FROM effect ORDER BY epoch, call") == [
        ("once_1:1", "mail", "book.add", 1),
        ("once_5:1", "calendar", "book.add", 5),
        ("once_7:1", "calendar", "book.add", 7),
        ("once_9:1", "calendar", "book.add", 7),
    ]


def test_the_first_answer_to_a_key_counts_and_is_known_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    stores = open_stores(path)
    first = Result("once_1.far.1", "shop", 3, "completed", "two days", "far", node="edge-2")
    assert stores.effects.answered("once_1.far.1", "edge-1") is None
    stores.effects.keep_answer("shop", "once_1.far.1", "edge-1", first)
    stores.effects.keep_answer(
        "shop", "once_1.far.1", "edge-1", Result("once_1.far.1", "shop", 3, "completed", "three", "far")
    )
    stores.close()
    again = open_stores(path)
    assert again.effects.answered("once_1.far.1", "edge-1") == first
    again.close()


def test_an_answer_is_told_to_the_node_that_asked_and_one_of_an_older_version_by_its_key_alone(tmp_path: Path) -> None:
    """Those name no node that asked."""
    path = tmp_path / "state.db"
    stores = open_stores(path)
    answer = Result("once_1.far.1", "shop", 3, "completed", "two days", "far", node="edge-2")
    stores.effects.keep_answer("shop", answer.id, "edge-1", answer)
    old = replace(answer, id="once_2.far.1")
    with closing(sqlite3.connect(path)) as connection, connection:
        kept = (old.id, "shop", time.time(), json.dumps(old.as_kept()))
        connection.execute("INSERT INTO receipt (key, deployment, at, result) VALUES (?, ?, ?, ?)", kept)
    assert stores.effects.answered(answer.id, "edge-1") == answer
    assert stores.effects.answered(answer.id, "edge-3") is None
    assert stores.effects.answered(old.id, "edge-3") == old
    stores.close()


def test_what_is_a_month_old_is_forgotten(tmp_path: Path) -> None:
    """But for the highest epochs."""
    path, now = tmp_path / "state.db", [1_000.0]
    stores = open_stores(path, now=lambda: now[0])
    stores.effects.act(effect(5))
    stores.effects.keep_answer("shop", "old", "edge-1", Result("old", "shop", 3, "completed", "yes", "far"))
    now[0] += KEEP_SECONDS + 1
    stores.effects.act(effect(6, "once_2:1"))
    stores.effects.keep_answer("shop", "new", "edge-1", Result("new", "shop", 3, "completed", "yes", "far"))
    assert stores.effects.answered("old", "edge-1") is None and stores.effects.answered("new", "edge-1") is not None
    with pytest.raises(LeaseLost):
        stores.effects.act(effect(5))
    stores.close()
    assert rows(path, "SELECT call FROM effect") == [("once_2:1",)]
