"""What an answer shows: from what was heard to a finding. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from orchestrator.core.message import ToolCall
from orchestrator.core.written_call import written_calls
from orchestrator.plugins.providers.failures import read_body
from orchestrator.plugins.providers.probe.question import CLOCK, ODD_ONE, WEATHER, WORDS, Name
from orchestrator.ports.probe import Finding, Heard
from orchestrator.ports.provider import Capability, Support

YES, NO, IGNORED, UNKNOWN = Support.YES, Support.NO, Support.IGNORED, Support.UNKNOWN
_OWN_TROUBLE: Final = re.compile(r"does not match the expected|invalid tool call|failed to parse", re.IGNORECASE)
"""A server that could not read what its own model wrote: it did try to."""
_SHOWN: Final = 120
_TELLING: Final = 0.2  # seconds


@dataclass(frozen=True, slots=True)
class Answer:
    """A heard answer, read as far as it can be. ``fault`` is empty for a status of 200 with a message."""

    status: int
    fault: str = ""
    text: str = ""
    calls: tuple[ToolCall, ...] = ()
    finish: str = ""
    logprobs: int = 0
    usage: Mapping[str, Any] = field(default_factory=dict)

    @property
    def refused(self) -> bool:
        """Whether the server said that it does not do this; a failure while doing it says nothing."""
        return (400 <= self.status < 500 and self.status not in (401, 403, 408, 429)) or self.status == 501


def read(heard: Heard) -> Answer:
    """Read a whole answer, or a stream of events."""
    if heard.status != 200:
        return Answer(heard.status, _cut(read_body(heard.text.encode()).message or heard.text) or "no message")
    try:
        chunks = (
            _events(heard.text)
            if heard.text.lstrip().startswith(("data:", ":", "event:"))
            else [json.loads(heard.text)]
        )
        return _message(chunks)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        return Answer(0, f"it answered {_cut(heard.text)!r}")


def _events(text: str) -> list[Any]:
    lines = [line.removeprefix("data:").strip() for line in text.splitlines() if line.startswith("data:")]
    return [json.loads(line, strict=False) for line in lines if line and line != "[DONE]"]


def _message(chunks: Sequence[Any]) -> Answer:
    text, finish, logprobs = "", "", 0
    calls: list[ToolCall] = []
    usage: Mapping[str, Any] = {}
    for chunk in chunks:
        usage = chunk.get("usage") or usage
        if chunk.get("error"):
            return Answer(0, _cut(json.dumps(chunk["error"], ensure_ascii=False)))
        for choice in (chunk.get("choices") or ())[:1]:
            said = choice.get("message") or choice.get("delta") or {}
            text += said.get("content") or ""
            calls += [_call(entry) for entry in said.get("tool_calls") or ()]
            finish = choice.get("finish_reason") or finish
            logprobs += len((choice.get("logprobs") or {}).get("content") or ())
    return Answer(200, "", text, tuple(calls), finish, logprobs, usage)


def _call(entry: Mapping[str, Any]) -> ToolCall:
    function = entry["function"]
    return ToolCall(str(entry.get("id") or ""), str(function.get("name") or ""), str(function.get("arguments") or ""))


# ---- judges: one answer -> a finding; UNKNOWN lets the question be asked again ----------------------------------------


def calls_come(answer: Answer) -> Finding:
    """Whether calls come structured, or at least as text that can be read."""
    if answer.calls:
        return Finding(YES, f"it called {_named(answer)}")
    if answer.refused:
        return Finding(NO, _refusal(answer))
    if _written(answer):
        return Finding(IGNORED, f"it wrote its call as text: {_cut(answer.text)}")
    return Finding(UNKNOWN, _words(answer))


def call_is_forced(answer: Answer) -> Finding:
    """Whether ``required`` brings a call where the words ask for none."""
    if answer.calls:
        return Finding(YES, f"it called {_named(answer)} when told to, although nothing asked for it")
    return _undone(answer)


def named_is_called(answer: Answer) -> Finding:
    """Whether the named function is called where the words ask for the other one."""
    if answer.calls and {call.name for call in answer.calls} == {WEATHER.name}:
        return Finding(YES, f"it called {WEATHER.name} because it was named, although {CLOCK.name} was asked for")
    if answer.calls:
        return Finding(IGNORED, f"it called {_named(answer)}, although {WEATHER.name} was named")
    return _undone(answer)


def none_is_called(answer: Answer) -> Finding:
    """Whether ``none`` keeps it from calling. Only shown where it would have called."""
    if answer.calls:
        return Finding(IGNORED, f"it called {_named(answer)}, although told to call none")
    if answer.refused:
        return Finding(NO, _refusal(answer))
    return Finding(YES, "it answered in words") if answer.status == 200 else Finding(UNKNOWN, answer.fault)


def schema_holds(answer: Answer) -> Finding:
    """Whether an answer fits a schema that nothing in the words leads to."""
    value = _json(answer.text)
    if _fits_odd_one(value):
        return Finding(YES, f"it answered {_cut(answer.text)}")
    return _undone(answer, begun=answer.text.lstrip().startswith("{"))


def grammar_holds(answer: Answer) -> Finding:
    """Whether an answer is of a grammar that nothing in the words leads to."""
    text = answer.text.strip()
    if text in WORDS:
        return Finding(YES, f"it answered {text}")
    return _undone(answer, begun=any(word.startswith(text) for word in WORDS))


def logprobs_come(answer: Answer) -> Finding:
    """Whether tokens come with their log-probabilities."""
    if answer.logprobs:
        return Finding(YES, f"{answer.logprobs} tokens with log-probabilities")
    if answer.refused:
        return Finding(NO, _refusal(answer))
    return Finding(IGNORED, "an answer without them") if answer.status == 200 else Finding(UNKNOWN, answer.fault)


def usage_comes(answer: Answer) -> Finding:
    """Whether a stream tells its count of tokens."""
    counted = answer.usage.get("prompt_tokens")
    if isinstance(counted, int) and counted > 0:
        return Finding(YES, f"{counted} tokens of the prompt were told at the end of a stream")
    if answer.refused:
        return Finding(NO, _refusal(answer))
    return Finding(IGNORED, "a stream without counts") if answer.status == 200 else Finding(UNKNOWN, answer.fault)


def vectors_come(heard: Heard) -> Finding:
    """Whether an embedding comes."""
    answer = read_vector(heard)
    if answer:
        return Finding(YES, f"a vector of {answer} numbers")
    refusal = read(heard)
    if refusal.refused or heard.status == 500:
        return Finding(NO, _refusal(refusal))
    return Finding(UNKNOWN, refusal.fault or "an answer without a vector")


def read_vector(heard: Heard) -> int:
    """How long the first vector of an answer is; 0 where there is none."""
    try:
        return (
            len([float(number) for number in json.loads(heard.text)["data"][0]["embedding"]])
            if heard.status == 200
            else 0
        )
    except (ValueError, KeyError, TypeError, IndexError, RecursionError):
        return 0


def overflow(answer: Answer, words: int) -> Finding:
    """What became of a prompt of so many words, each a token at least, that cannot fit."""
    counted = answer.usage.get("prompt_tokens")
    if answer.refused:
        return Finding(YES, _refusal(answer))
    if answer.status != 200:
        return Finding(UNKNOWN, answer.fault)
    if isinstance(counted, int) and 0 < counted < words:
        return Finding(IGNORED, f"of {words} words {counted} tokens were read, without a word about the rest")
    return Finding(UNKNOWN, f"{words} words were taken, {counted or 'no'} tokens counted")


def at_once(spans: Sequence[tuple[float, float]]) -> int | None:
    """How many answers were being written at the same time, from the times of their first and last pieces in seconds;
    ``None`` where they were too short to tell."""
    if max((end - begin for begin, end in spans), default=0.0) < _TELLING:
        return None
    return max(sum(begin <= start < end for begin, end in spans) for start, _ in spans)


def parallel(asked: int, spans: Sequence[tuple[float, float]]) -> Finding:
    """What so many streams at once showed of a server that does not tell its slots."""
    most = at_once(spans)
    if most is None:
        return Finding(NO, f"not told; {len(spans)} of {asked} calls at once were answered, too quickly to tell more")
    more = "or more " if most == asked else ""
    return Finding(NO, f"not told; of {asked} calls at once {most} {more}were answered at once", most)


JUDGES: Final = {
    "tools": (Capability.TOOLS, calls_come),
    "required": (Capability.TOOL_REQUIRED, call_is_forced),
    "named": (Capability.TOOL_NAMED, named_is_called),
    "none": (Capability.TOOL_NONE, none_is_called),
    "schema": (Capability.JSON_SCHEMA, schema_holds),
    "grammar": (Capability.GRAMMAR, grammar_holds),
    "logprobs": (Capability.LOGPROBS, logprobs_come),
    "usage": (Capability.STREAM_USAGE, usage_comes),
}
"""By the question's name: what its answer shows, and who judges it."""


def together(answers: Mapping[Name, Answer], findings: Mapping[Capability, Finding]) -> dict[Capability, Finding]:
    """What the answers show only when they are seen together."""
    found = dict(findings)
    structured = [name for name in ("tools", "required", "named") if name in answers and answers[name].calls]
    if structured and found[Capability.TOOLS].support is not YES:
        found[Capability.TOOLS] = Finding(YES, f"it called {_named(answers[structured[0]])} when it was told to")  # type: ignore[index] # of a name that was looked up above
    written = next((answer for answer in answers.values() if _written(answer)), None)
    if not structured and written is not None:
        found[Capability.TOOL_TEXT] = Finding(YES, f"it wrote {_cut(written.text)}")
    if found[Capability.TOOLS].support is not YES or not answers["tools"].calls:
        calls_none = found[Capability.TOOL_NONE]
        if calls_none.support is YES:
            found[Capability.TOOL_NONE] = Finding(UNKNOWN, "it calls nothing by itself, so that none shows nothing")
    return found


def _undone(answer: Answer, begun: bool = True) -> Finding:
    """An answer that does not do what was asked; ``begun``: it might have, had it not been cut off."""
    if answer.refused:
        return Finding(NO, _refusal(answer))
    if answer.status != 200:
        tried = " (so it does read calls)" if _OWN_TROUBLE.search(answer.fault) else ""
        return Finding(UNKNOWN, f"{answer.fault}{tried}")
    if answer.finish == "length" and begun:
        return Finding(UNKNOWN, f"cut off at {_cut(answer.text)!r}")
    return Finding(IGNORED, _words(answer))


def _written(answer: Answer) -> bool:
    return bool(not answer.calls and written_calls(answer.text, (WEATHER.name, CLOCK.name)))


def _refusal(answer: Answer) -> str:
    return f"HTTP {answer.status}: {answer.fault}"


def _words(answer: Answer) -> str:
    return answer.fault or (f"it answered {_cut(answer.text)!r}" if answer.text else "it answered nothing")


def _named(answer: Answer) -> str:
    return " and ".join(dict.fromkeys(call.name for call in answer.calls if call.name)) or "a function without a name"


def _json(text: str) -> Any:
    try:
        return json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return None


def _fits_odd_one(value: Any) -> bool:
    properties = ODD_ONE["properties"]
    return (
        isinstance(value, dict)
        and value.keys() == properties.keys()
        and all(value[name] in properties[name]["enum"] for name in properties)
    )


def _cut(text: str) -> str:
    one_line = " ".join(text.split())
    return one_line if len(one_line) <= _SHOWN else f"{one_line[:_SHOWN]}…"
