"""What a node that leaves its fleet would leave unanswered, read from its database beside the runtime."""

from __future__ import annotations

from pathlib import Path

from orchestrator.plugins.stores.sqlite import open_stores
from orchestrator.plugins.stores.statefile import StateFile
from orchestrator.plugins.stores.unanswered import unanswered
from orchestrator.ports.store import Revision
from tests.outbox.parts import deferring, delivery


def test_only_what_waits_in_a_share_counts_also_while_the_runtime_has_the_file_open(tmp_path: Path) -> None:
    """What a deployment of this machine alone keeps stays with it."""
    path = tmp_path / "state.db"
    assert unanswered(path) == (0, 0)
    stores = open_stores(path, now=lambda: 1_000.0)
    try:
        stores.revisions.add(Revision("shop", 1, "d1", {"name": "shop", "node": "edge-2"}, {}, 1000.0))
        stores.revisions.add(Revision("kiosk", 1, "d2", {"name": "kiosk"}, {}, 1000.0))
        assert unanswered(path) == (0, 0)
        for number, deployment in enumerate(["shop", "shop", "kiosk"]):
            stores.outbox.defer(deferring(delivery(number, deployment=deployment)))
        assert unanswered(path) == (2, 0)
    finally:
        stores.close()
    assert unanswered(path) == (2, 0)


def test_a_file_of_before_there_was_an_outbox_keeps_nothing(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    StateFile(path).close()
    assert unanswered(path) == (0, 0)
