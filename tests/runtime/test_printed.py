"""What runtimes printed, beside the runtime's own log: each life's words once, where it began."""

from __future__ import annotations

import json
import socket
from pathlib import Path

from orchestrator.app.printed import begin, in_order
from tests.cli.commands import apart
from tests.runtime.living import Home


def _log(path: Path, *entries: tuple[str, str]) -> None:
    path.write_text("".join(json.dumps({"event": event, "timestamp": moment}) + "\n" for event, moment in entries))


def test_a_life_that_is_over_stands_before_what_came_after_it(tmp_path: Path) -> None:
    """And one that printed nothing is left out; what an older program left without a moment is the oldest."""
    printed, log = tmp_path / "printed", tmp_path / "log"
    printed.write_text(
        "an old line\n"
        "-- what the runtime printed that was started at 2026-01-01T00:00:05Z\nerror: the port is taken\n"
        "-- what the runtime printed that was started at 2026-01-01T00:00:06Z\n"
        "-- what the runtime printed that was started at 2026-01-01T00:00:08Z\na tool says\n"
    )
    moments = [
        ("ready", "2026-01-01T00:00:06.5Z"),
        ("stopped", "2026-01-01T00:00:07Z"),
        ("ready", "2026-01-01T00:00:09Z"),
    ]
    _log(log, *moments)
    lines = in_order(printed, log, 100)
    head = "-- what the runtime printed that was started at 2026-01-01T00:00:0"
    ready, stopped, again = log.read_text().splitlines()
    assert lines == [
        "an old line",
        f"{head}5Z",
        "error: the port is taken",
        ready,
        stopped,
        f"{head}8Z",
        "a tool says",
        again,
    ]
    assert in_order(printed, log, 1) == lines[-1:] and in_order(printed, log, 0) == []
    assert in_order(tmp_path / "none", log, 9) == log.read_text().splitlines()


def test_a_line_without_a_moment_stays_with_the_one_before_it(tmp_path: Path) -> None:
    """As of a fault of a library that broke a line."""
    printed, log = tmp_path / "printed", tmp_path / "log"
    begin(printed)
    with printed.open("a") as file:
        file.write("printed now\n")
    log.write_text('{"timestamp": "2000-01-01T00:00:00Z"}\nno json\n[1]\n{"timestamp": "2999-01-01T00:00:00Z"}\n')
    lines = in_order(printed, log, 10)
    assert lines[1:3] == ["no json", "[1]"] and lines[4] == "printed now" and "2999" in lines[5]


def test_a_start_that_failed_is_not_the_newest_word_for_ever(home: Home) -> None:
    """`runtime logs -n 1` shows the newest line; the failure stands once, before the life that came after it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        failed = apart("runtime", "start", environment=home.environment(ORCHESTRATOR_PORT=port))
        assert failed.code == 4 and "error[ORC411]" in failed.err
    assert apart("runtime", "logs", "-n", "3", environment=home.environment()).out.count("error[ORC415]") == 1
    started = apart("runtime", "start", environment=home.environment())
    assert started.code == 0, started.err
    [last] = apart("runtime", "logs", "-n", "1", environment=home.environment()).out.splitlines()
    assert json.loads(last)["timestamp"]
    whole = apart("runtime", "logs", environment=home.environment()).out
    assert whole.count("error[ORC415]") == 1 and whole.index("error[ORC415]") < whole.index('"event": "ready"')
