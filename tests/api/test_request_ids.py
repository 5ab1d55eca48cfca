"""The id of a request names it; what its tools do is done for each run, whatever it is called."""

from __future__ import annotations

from pathlib import Path

import pytest

import orchestrator
from orchestrator.core.request import Request

pytestmark = pytest.mark.anyio

MANIFEST = """
metadata: {name: desk}
deployment:
  type: single-device
  tools: [tickets, email]
  agents:
    - name: desk
      tools: [tickets, email]
      reflex:
        - call: email.send
          when: {regex: '^mail'}
          arguments: {to: a@example.org, subject: news, body: '{{ text }}'}
          say: 'kept as {{ result.message }}'
        - call: tickets.create
          arguments: {subject: '{{ text }}'}
          say: '{{ result.number }}: {{ result.subject }}'
"""


async def test_two_requests_of_one_id_are_two_runs_with_effects_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second is not taken for a repeat of the first."""
    monkeypatch.setenv("ORCHESTRATOR_HOME", str(tmp_path))
    monkeypatch.setenv("ORCHESTRATOR_SERVERS", "")
    manifest = tmp_path / "desk.yaml"
    manifest.write_text(MANIFEST)
    async with orchestrator.open(manifest, state=tmp_path / "state") as desk:
        asked = ["my drill is broken", "my saw is broken", "mail one", "mail two"]
        results = [await desk.run(Request(text, id="job")) for text in asked]
    assert [each.id for each in results] == ["job"] * 4
    assert [each.text for each in results[:2]] == ["T-1001: my drill is broken", "T-1002: my saw is broken"]
    assert len(list((tmp_path / "state").rglob("outbox/*.eml"))) == 2
