"""No verb imports what it does not use, so that each starts as fast as it can."""

from __future__ import annotations

import subprocess
import sys

import pytest

from orchestrator.cli.table import VERBS
from tests.cli.commands import ROOT

SERVING = {"aiohttp", "openai", "uvicorn", "starlette", "httptools", "uvloop", "structlog", "anyio"}
DRAWING = {"rich"}
COMPILING = {"pydantic", "networkx", "yaml", "jinja2", "jsonschema"}
LOOKING = {"psutil", "sqlite3"}
HEAVY = SERVING | DRAWING | COMPILING | LOOKING
SEED = "manifests/single-device.yaml"
KIOSK = "examples/retail-kiosk/"

RUNS: dict[str, tuple[list[str], set[str]]] = {
    "validate": (["validate", SEED], SERVING | DRAWING | LOOKING | {"jsonschema"}),
    "graph": (["graph", SEED, "--format", "svg"], SERVING | DRAWING | LOOKING | {"jsonschema"}),
    "export": (["export", "kubernetes", SEED], SERVING | DRAWING | LOOKING | {"jsonschema"}),
    "explain manifest": (["explain", "manifest", SEED], SERVING | DRAWING | LOOKING | {"jsonschema"}),
    "explain code": (["explain", "code", "ORC301"], HEAVY),
    "routes test": (["routes", "test", SEED], (SERVING - {"anyio", "structlog"}) | DRAWING | LOOKING),
    "tune": (
        ["tune", f"{KIOSK}kiosk.yaml", "--cases", f"{KIOSK}requests.jsonl"],
        (SERVING - {"anyio", "structlog"}) | DRAWING | LOOKING,
    ),
    "simulate": (
        ["simulate", "manifests/distributed-edge.yaml", "--duration", "1s"],
        (SERVING - {"anyio"}) | DRAWING | (LOOKING - {"sqlite3"}) | {"jsonschema", "nats", "cryptography", "trio"},
    ),
    "schema": (["schema"], SERVING | DRAWING | LOOKING | {"jsonschema", "networkx", "yaml"}),
    "init": (["init", "--list"], HEAVY),
    "completion": (["completion", "bash"], HEAVY - {"yaml", "httptools"}),
    "run": (["run", "shop", "hello"], HEAVY),
    "approvals": (["approvals", "list"], HEAVY),
    "outbox": (["outbox", "list"], HEAVY),
    "label": (["label", "run_1", "right"], HEAVY),
    "calibrate": (["calibrate", "shop"], HEAVY),
    "chat": (["chat", "shop"], HEAVY),
    "status": (["status"], HEAVY),
    "top": (["top"], HEAVY),
    "logs": (["logs", "shop"], HEAVY),
    "report": (["report", "shop"], HEAVY),
    "history": (["history", "shop"], HEAVY),
    "rollback": (["rollback", "shop"], HEAVY),
    "down": (["down", "shop"], HEAVY),
    "runtime status": (["runtime", "status"], HEAVY),
    "plan": (["plan", SEED], DRAWING | {"openai", "uvicorn", "starlette"}),
    "apply --dry-run": (["apply", SEED, "--dry-run"], DRAWING | {"openai", "uvicorn", "starlette"}),
    "models list": (["models", "list"], DRAWING | {"openai", "uvicorn", "starlette", "yaml", "networkx", "jinja2"}),
    "models command": (["models", "command", "phi-4-mini"], (SERVING - {"anyio"}) | DRAWING | LOOKING | {"networkx"}),
    "node status": (["node", "status"], HEAVY),
    "doctor": (["doctor"], DRAWING | {"openai", "uvicorn", "starlette"}),
}


_PROBE = """
import sys
from orchestrator.cli.main import main
main(sys.argv[1:])
sys.stderr.write("\\nimported: " + " ".join(sys.modules))
"""


def _modules(*words: str) -> set[str]:
    """Everything that a command imports. It may fail; what it imported counts all the same."""
    argv = [sys.executable, "-c", _PROBE, *words]
    ended = subprocess.run(argv, cwd=ROOT, input="", capture_output=True, text=True, check=False, timeout=60)
    said, _, names = ended.stderr.rpartition("imported: ")
    assert names and "Traceback" not in said
    return set(names.split())


def _imported(*words: str) -> set[str]:
    """The top names of these."""
    return {name.partition(".")[0] for name in _modules(*words)}


def test_every_verb_is_measured() -> None:
    """A new verb is added above, or its help is all that is held."""
    assert {words[0] for words, _ in RUNS.values()} == {verb.name for verb in VERBS} - {"simulate-endpoint"}


def test_help_imports_nothing_but_words() -> None:
    """Not even the parser of arguments."""
    assert _imported("--help") & (HEAVY | {"argparse", "json"}) == set()


@pytest.mark.parametrize("name", [verb.name for verb in VERBS if verb.name != "simulate-endpoint"])
def test_the_help_of_a_verb_imports_nothing_heavy(name: str) -> None:
    """The parser, and the verb's own file."""
    assert _imported(name, "--help") & HEAVY == set()


@pytest.mark.parametrize("name", RUNS)
def test_a_verb_imports_only_what_it_uses(name: str) -> None:
    """A client of the runtime compiles nothing, a compiler serves nothing, and nothing draws where there is no terminal."""
    words, forbidden = RUNS[name]
    assert _imported(*words) & forbidden == set()


def test_no_verb_is_imported_for_another() -> None:
    """The table knows their names only."""
    verbs = {name for name in _modules("explain", "code", "ORC301") if name.startswith("orchestrator.cli.verbs.")}
    assert verbs == {"orchestrator.cli.verbs.explain"}
