"""A manifest with labelled requests for it: the first draw of the project's own sample of CLINC150."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from orchestrator.app.routing.cases import Case

_SAMPLE: Final = json.loads(
    (Path(__file__).parents[2] / "benchmarks/data/routing/clinc150_sample.json").read_text(encoding="utf-8")
)
_DRAW: Final = _SAMPLE["draws"][0]


def _shop() -> str:
    head = (
        "metadata: {name: shop}\ndeployment:\n  type: single-device\n  agents:\n    - name: front\n      role: router\n"
    )
    agents = []
    for entry in _DRAW:
        examples = [text for skill in sorted(entry["skills"]) for text in entry["skills"][skill]]
        listed = "".join(f"        - {json.dumps(text)}\n" for text in examples)
        agents.append(f"    - name: {entry['agent']}\n      reflex: [{{say: ok}}]\n      examples:\n{listed}")
    return head + "".join(agents)


def _cases() -> list[Case]:
    """Three of each skill, and some for nobody."""
    owner = {skill: entry["agent"] for entry in _DRAW for skill in entry["skills"]}
    inside = [(text, (owner[skill],)) for skill in sorted(owner) for text in _SAMPLE["requests"][skill][:8]]
    outside = [(text, ()) for text in _SAMPLE["outside"][:24]]
    return [Case(f"case {at}", text, wanted) for at, (text, wanted) in enumerate([*inside, *outside])]


SHOP: Final = _shop()
CASES: Final = _cases()
