"""``down`` of several deployments."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.commands import apart

SHOP = "deployment: {type: single-device, agents: [{name: a, reflex: [{say: hello}]}]}\n"


def running() -> list[str]:
    """What runs."""
    return [each["name"] for each in json.loads(apart("status", "--json").out)["deployments"]]


def test_one_that_is_not_there_leaves_all_as_they_are(home: Path, tmp_path: Path) -> None:
    """Whoever misspelt a name is told before anything ends; a name that stands twice is one."""
    try:
        for name in ("first", "second"):
            (tmp_path / f"{name}.yaml").write_text(SHOP)
            assert apart("apply", str(tmp_path / f"{name}.yaml")).code == 0
        refused = apart("down", "first", "thrid", "second")
        assert (refused.code, refused.out) == (4, "")
        assert 'no deployment is called "thrid"' in refused.err
        assert running() == ["first", "second"]
        ended = apart("down", "first", "second", "first")
        assert ended.code == 0, ended.err
        assert ended.out == "first is down; its history stays\nsecond is down; its history stays\n"
        assert running() == []
    finally:
        assert apart("runtime", "stop").code == 0
