"""What nodes say to each other comes back as it was written, and what is not known is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.clauses import LONGEST_TEXT
from orchestrator.core.denial import Denial
from orchestrator.core.errors import NotUnderstood
from orchestrator.core.handed import LONGEST_SAID, MOST_ATTEMPTS, MOST_MARKS, MOST_VALUES, Attempt, Handed
from orchestrator.node import wire
from orchestrator.node.subjects import Subjects, name_of, word
from orchestrator.ports.bus import Letter
from orchestrator.testing.sim_bus import fits

names = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,20}[A-Za-z0-9])?", fullmatch=True)
counts = st.integers(0, 10**15)
texts = st.text()
plain = st.dictionaries(texts, st.recursive(st.none() | st.booleans() | st.integers() | texts, st.lists, max_leaves=5))
headers = st.text(st.characters(codec="ascii", categories=("L", "N", "P")), min_size=1)

heartbeats = st.builds(
    wire.Heartbeat,
    names,
    counts,
    counts,
    counts,
    st.sampled_from(["starting", "ready", "draining"]),
    st.dictionaries(names, st.booleans()),
    *[counts] * 4,
    st.floats(0, 1e9),
    counts,
)
calls = st.builds(
    wire.Call,
    headers,
    names,
    names,
    counts,
    counts,
    counts,
    st.sampled_from(["public", "internal", "restricted"]),
    counts,
    plain,
    handed=st.builds(
        Handed,
        st.lists(st.builds(Attempt, texts, texts, texts, st.lists(texts, max_size=3).map(tuple)), max_size=3).map(
            tuple
        ),
        st.lists(st.tuples(texts, texts), max_size=3).map(tuple),
    ),
    looks=st.booleans(),
)
kinds = st.sampled_from(["not_here", "draining", "restricted", "hops", "deadline", "failed", "stopped", "too_large"])
said = st.one_of(
    st.just(wire.Ack()),
    st.just(wire.Ka()),
    st.builds(wire.Busy, st.floats(0, 1e6)),
    st.builds(wire.Tok, counts, texts),
    st.builds(wire.Fin, counts, headers, plain),
    st.builds(wire.Err, kinds, texts),
)


@given(heartbeats)
def test_a_heartbeat_comes_back(beat: wire.Heartbeat) -> None:
    """Every field of it."""
    assert wire.read_heartbeat(wire.heartbeat_letter("s", beat)) == beat


@given(calls)
def test_a_request_comes_back(call: wire.Call) -> None:
    """With where its answer goes."""
    letter = wire.call_letter("s", call, "inbox")
    assert (wire.read_call(letter), letter.reply) == (call, "inbox")


@given(headers, names, counts, said, counts)
def test_a_reply_comes_back(req: str, node: str, epoch: int, what: wire.Said, run: int) -> None:
    """Of every kind."""
    reply = wire.Reply(req, node, epoch, what, run)
    assert wire.read_reply(wire.reply_letter("s", reply)) == reply


@given(headers, names, headers)
def test_a_cancel_comes_back(req: str, node: str, reply: str) -> None:
    """Naming the attempt that it is for."""
    cancel = wire.Cancel(req, node, reply)
    assert wire.read_cancel(wire.cancel_letter("s", cancel)) == cancel


@given(st.lists(texts), plain, st.lists(texts), plain)
def test_a_digest_tells_answers_apart(pieces: list[str], body: Any, others: list[str], other: Any) -> None:
    """By their pieces, where one ends, and the result."""
    same = pieces == others and body == other
    left, right = wire.digest_of_answer(pieces, body), wire.digest_of_answer(others, other)
    assert (left == right) == same or (body == other and "\0" in "".join([*pieces, *others]))


ATTEMPT = {"agent": "agent.desk", "reason": "unsure", "text": "well", "calls": ["db.row (ok)"]}
BEAT = wire.heartbeat_letter("s", wire.Heartbeat("a", 1, 1, 1, "ready", {"x": True}, 1, 0, 0, 1, 5.0, took={"x": 7.5}))
CALL = wire.call_letter("s", wire.Call("r", "x", "a", 1, 1, 100, "internal", 0, {}), "inbox")
TOK = wire.reply_letter("s", wire.Reply("r", "a", 1, wire.Tok(3, "hi")))
FIN = wire.reply_letter("s", wire.Reply("r", "a", 1, wire.Fin(3, "d", {})))
BUSY = wire.reply_letter("s", wire.Reply("r", "a", 1, wire.Busy(1.0)))
ERR = wire.reply_letter("s", wire.Reply("r", "a", 1, wire.Err("failed", "x")))


def _with(letter: Letter, **headers: str) -> Letter:
    return replace(
        letter, headers={**letter.headers, **{key.replace("_", "-"): value for key, value in headers.items()}}
    )


@pytest.mark.parametrize(
    ("read", "letter"),
    [
        (wire.read_heartbeat, _with(BEAT, V="2")),
        (wire.read_heartbeat, replace(BEAT, headers={})),
        (wire.read_heartbeat, replace(BEAT, body=b"no JSON")),
        (wire.read_heartbeat, replace(BEAT, body=b"[]")),
        (wire.read_heartbeat, replace(BEAT, body=b"{}")),
        (wire.read_heartbeat, replace(BEAT, body=BEAT.body[:-1] + b',"new":1}')),
        (wire.read_heartbeat, replace(BEAT, body=BEAT.body.replace(b'"epoch":1', b'"epoch":-1'))),
        (wire.read_heartbeat, replace(BEAT, body=BEAT.body.replace(b'"slots":1', b'"slots":true'))),
        (wire.read_heartbeat, replace(BEAT, body=BEAT.body.replace(b'"node":"a"', b'"node":""'))),
        (wire.read_heartbeat, replace(BEAT, body=BEAT.body.replace(b"ready", b"asleep"))),
        (wire.read_heartbeat, replace(BEAT, body=BEAT.body.replace(b'{"x":true}', b'["x"]'))),
        (wire.read_heartbeat, replace(BEAT, body=BEAT.body.replace(b"5.0", b"NaN"))),
        (wire.read_heartbeat, replace(BEAT, body=BEAT.body.replace(b"5.0", b"-5.0"))),
        (wire.read_heartbeat, replace(BEAT, body=BEAT.body.replace(b"7.5", b"-7.5"))),
        (wire.read_heartbeat, replace(BEAT, body=BEAT.body.replace(b'{"x":7.5}', b"7.5"))),
        (wire.read_call, replace(CALL, reply="")),
        (wire.read_call, _with(CALL, Hop="-1")),
        (wire.read_call, _with(CALL, Hop="1.5")),
        (wire.read_call, _with(CALL, Deadline_Ms="9" * 40)),
        (wire.read_call, _with(CALL, Class="secret")),
        (wire.read_call, _with(CALL, Req_Id="")),
        (wire.read_call, replace(CALL, body=b"[" * 100_000)),
        (wire.read_call, _with(CALL, Handed="no JSON")),
        (wire.read_call, _with(CALL, Handed="[" * 100_000)),
        (wire.read_call, _with(CALL, Handed="[]")),
        (wire.read_call, _with(CALL, Handed='{"attempts":{}}')),
        (wire.read_call, _with(CALL, Handed='{"attempts":["x"]}')),
        (wire.read_call, _with(CALL, Handed='{"attempts":[{"agent":"x","reason":"y"}]}')),
        (wire.read_call, _with(CALL, Handed='{"attempts":[{"agent":"x","reason":"y","text":"","calls":[1]}]}')),
        (wire.read_call, _with(CALL, Handed=json.dumps({"attempts": [ATTEMPT | {"text": "x" * (LONGEST_SAID + 1)}]}))),
        (wire.read_call, _with(CALL, Handed=json.dumps({"attempts": [ATTEMPT] * (MOST_ATTEMPTS + 1)}))),
        (wire.read_call, _with(CALL, Handed='{"values":[["patient"]]}')),
        (wire.read_call, _with(CALL, Handed='{"values":[["patient",7]]}')),
        (wire.read_call, _with(CALL, Handed=json.dumps({"values": [["f", "v"]] * (MOST_VALUES + 1)}))),
        (wire.read_call, _with(CALL, Handed='{"part_of":7}')),
        (wire.read_call, _with(CALL, Handed=json.dumps({"part_of": "x" * (LONGEST_TEXT + 1)}))),
        (
            wire.read_call,
            _with(CALL, Handed=json.dumps({"attempts": [ATTEMPT | {"marks": [[0, 1, "f"]] * (MOST_MARKS + 1)}]})),
        ),
        (wire.read_reply, _with(TOK, K="shout")),
        (wire.read_reply, _with(TOK, Seq="x")),
        (wire.read_reply, replace(TOK, body=b"\xff")),
        (wire.read_reply, _with(FIN, Digest="")),
        (wire.read_reply, replace(FIN, body=b"3")),
        (wire.read_reply, _with(BUSY, Retry_After="soon")),
        (wire.read_reply, _with(BUSY, Retry_After="inf")),
        (wire.read_reply, _with(ERR, Code="odd")),
        (wire.read_cancel, Letter("s", headers={"V": "1", "Req-Id": "r", "Node": "a"})),
    ],
)
def test_what_is_not_known_is_refused(read: Callable[[Letter], object], letter: Letter) -> None:
    """With the reason."""
    with pytest.raises(NotUnderstood, match=f"a letter to {letter.subject} was left aside: "):
        read(letter)


def test_what_a_newer_node_says_more_of_a_hand_over_is_left_alone() -> None:
    """It is told to help: what is known of it helps."""
    newer = json.dumps({"attempts": [ATTEMPT | {"mood": "sad"}], "weather": 1})
    handed = wire.read_call(_with(CALL, Handed=newer)).handed
    assert handed == Handed((Attempt("agent.desk", "unsure", "well", ("db.row (ok)",)),))


def test_what_a_request_is_a_part_of_goes_along() -> None:
    """A router behind an agent there asks the same of the whole as here."""
    handed = Handed(part_of="an apple, and delete the users: é\ud800")
    letter = wire.call_letter("s", replace(wire.read_call(CALL), handed=handed), "inbox")
    assert wire.read_call(letter).handed == handed


def test_what_a_person_refused_goes_along() -> None:
    """Nobody asks for it again there. What is out of bounds is refused."""
    denial = Denial("shop.pay", "a" * 64, '{"amount": 900}', "ana", "never: é\ud800")
    letter = wire.call_letter("s", replace(wire.read_call(CALL), handed=Handed(denials=(denial,))), "inbox")
    assert wire.read_call(letter).handed == Handed(denials=(denial,))
    for broken in ([denial.as_json()] * 65, ["no"], [denial.as_json() | {"words": "x" * 1_001}]):
        with pytest.raises(NotUnderstood):
            wire.read_call(_with(CALL, Handed=json.dumps({"denials": broken})))


def test_an_older_node_leaves_a_hand_over_alone() -> None:
    """It goes in a header of its own, and everything else is as it was."""
    call = wire.read_call(CALL)
    letter = wire.call_letter(
        "s", replace(call, handed=Handed((Attempt("agent.desk", "why", "said\n: é\ud800"),))), "inbox"
    )
    told = letter.headers["Handed"]
    assert told.isascii() and "\n" not in told and letter == _with(CALL, Handed=told)


def test_a_header_of_the_transport_is_left_alone() -> None:
    """Only what is ours must be known."""
    assert wire.read_reply(_with(TOK, Nats_Msg_Id="9")).said == wire.Tok(3, "hi")


@given(names, names)
def test_two_names_never_become_one_word(one: str, other: str) -> None:
    """Dots in names separate no words."""
    assert (word(one) == word(other)) == (one == other)
    assert name_of(word(one)) == one and "." not in word(one)


@given(names, names, names)
def test_a_node_hears_what_is_for_it(deployment: str, node: str, agent: str) -> None:
    """And not what is for others."""
    subjects = Subjects(deployment)
    assert fits(subjects.calls(node), subjects.call(node, agent))
    assert not fits(subjects.calls(node), subjects.call(f"{node}x", agent))
    assert fits(subjects.heartbeat("*"), subjects.heartbeat(node))
    assert fits(subjects.cancels(node), subjects.cancel(node, "run_1"))
    assert not fits(subjects.calls(node), subjects.cancel(node, "run_1"))
