"""Why another server answered: each try of a call, as ``orchestrator explain run`` shows it."""

from __future__ import annotations

from orchestrator.cli.view.result import _waterfall


def test_each_try_is_told_whole_with_what_was_said() -> None:
    """Long as it may be: it is what somebody looks for who asks why a fallback answered."""
    said = "the server at http://127.0.0.1:11434 answered 503: " + "it is overloaded, " * 10
    attempts = [
        {
            "endpoint": "ollama@127.0.0.1:11434/phi",
            "outcome": "ServerBusy",
            "kind": "first",
            "took_ms": 12.5,
            "message": said,
        },
        {"endpoint": "vllm@127.0.0.1:8000/phi", "outcome": "ok", "kind": "fallback", "took_ms": 3.0},
    ]
    step = {"kind": "model", "subject": "clerk", "at_ms": 0.0, "took_ms": 16.0, "detail": {"attempts": attempts}}
    (line,) = _waterfall([step], 16.0)
    told = f"ollama@127.0.0.1:11434/phi ServerBusy after 12 ms: {said.strip()}; vllm@127.0.0.1:8000/phi ok after 3.0 ms"
    assert line.endswith(f"attempts {told}")
