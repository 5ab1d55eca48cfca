"""What was probed is kept by server, version and build, and compared with a lock file line by line."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.plan.capabilities import Record, differences, lock_text, merged, read_lock
from orchestrator.ports.probe import Finding
from orchestrator.ports.provider import Capability, Identity, ServedModel, Support

TOLD = Finding(Support.YES, "the server tells it", 2048)


def found(**supports: str) -> dict[Capability, Finding]:
    return {Capability(name): Finding(Support(value), f"{name} was seen") for name, value in supports.items()}


def record(model: str = "tiny", version: str = "b1", digest: str = "", **supports: str) -> Record:
    return Record("llama-cpp", "http://127.0.0.1:8080", version, model, digest, found(**supports))


findings = st.dictionaries(
    st.sampled_from(Capability),
    st.builds(Finding, st.sampled_from(Support), st.text(), st.none() | st.integers(1, 9999)),
)
records = st.lists(
    st.builds(
        Record, st.sampled_from(["ollama", "vllm"]), st.just("http://x"), st.text(), st.text(), st.text(), findings
    ),
    unique_by=lambda one: (one.provider, one.model),
)


@given(records, st.randoms())
def test_what_was_written_is_found_again_in_any_order(every: list[Record], chance: random.Random) -> None:
    """A lock file is the same whatever the order, and differs from nothing that it was made from."""
    shuffled = list(every)
    chance.shuffle(shuffled)
    assert lock_text(shuffled) == lock_text(every)
    assert differences(read_lock(lock_text(every)), shuffled) == []


@given(records)
def test_a_record_survives_being_kept(every: list[Record]) -> None:
    """Its plain form is the whole of it."""
    assert [Record.from_json(json.loads(json.dumps(one.as_json()))) for one in every] == every


def test_a_lock_file_holds_no_time_no_address_and_no_word_of_a_model() -> None:
    """So that it is the same on another day and on another machine."""
    text = lock_text(
        [
            Record(
                "vllm",
                "http://127.0.0.1:8000",
                "0.32.0",
                "m",
                "",
                {**found(tools="yes"), Capability.CONTEXT_TOLD: TOLD},
            )
        ]
    )
    assert text == (
        '{\n  "format": 1,\n  "probed": [\n    {\n      "provider": "vllm",\n      "version": "0.32.0",\n      "model": "m",\n'
        '      "digest": "",\n      "capabilities": {\n        "tools": "yes",\n        "context_told": "yes"\n      },\n'
        '      "values": {\n        "context_told": 2048\n      }\n    }\n  ]\n}\n'
    )


def test_a_difference_is_a_line_to_read() -> None:
    """What changed, from what to what, and what was seen."""
    then = [record(tools="yes", grammar="yes"), record("gone", tools="yes"), record("same", logprobs="yes")]
    now = [
        record(version="b2", tools="ignored", json_schema="yes"),
        record("new", tools="yes"),
        record("same", logprobs="yes"),
    ]
    assert differences(read_lock(lock_text(then)), now) == [
        "llama-cpp gone: not found any more",
        "llama-cpp new: new, not in the lock file",
        "llama-cpp tiny: version was b1, is b2",
        "llama-cpp tiny: grammar was yes, is not tried",
        "llama-cpp tiny: json_schema was not tried, is yes (json_schema was seen)",
        "llama-cpp tiny: tools was yes, is ignored (tools was seen)",
    ]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("no JSON", "Expecting value"),
        ("[]", "it is no lock file of capabilities"),
        ('{"format": 7, "probed": []}', "it has the format 7, this version reads 1"),
        ('{"format": 1, "probed": [{"provider": "x"}]}', "it is no lock file of capabilities"),
    ],
)
def test_a_file_that_is_no_lock_file_is_told(text: str, why: str) -> None:
    """Never a traceback."""
    with pytest.raises(ValueError, match=why):
        read_lock(text)


def test_a_record_holds_for_its_version_and_build_only() -> None:
    """A newer server, or another build under the same name, is asked anew."""
    kept = record(digest="abc", tools="yes")
    identity = Identity("llama-cpp", "http://127.0.0.1:8080", "b1")
    assert kept.is_of(identity, ServedModel("tiny", digest="abc"))
    assert not kept.is_of(identity, ServedModel("tiny", digest="def"))
    assert not kept.is_of(Identity("llama-cpp", "http://127.0.0.1:8080", "b2"), ServedModel("tiny", digest="abc"))


def test_what_a_deep_probe_showed_stays_known() -> None:
    """A quick probe of the same version and build does not forget it; one of another version does."""
    deep, quick = record(tools="yes", overflow_refused="yes"), record(tools="no")
    (both,) = merged([deep], [quick])
    assert supports(both.findings) == {"tools": "no", "overflow_refused": "yes"}
    (newer,) = merged([deep], [record(version="b2", tools="no")])
    assert supports(newer.findings) == {"tools": "no"}


def supports(findings: Mapping[Capability, Finding]) -> dict[str, str]:
    return {name.value: finding.support.value for name, finding in findings.items()}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{}", 'it has no "format"'),
        ("[]", "it is not made as one"),
        ('{"format": 1, "probed": [{"provider": "ollama"}]}', 'it has no "model"'),
    ],
)
def test_what_is_no_lock_file_is_told_in_words(text: str, why: str) -> None:
    """With what it lacks."""
    with pytest.raises(ValueError, match=f"it is no lock file of capabilities: {why}"):
        read_lock(text)
