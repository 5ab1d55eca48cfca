"""What would name a person reaches no body that goes to the cloud, and stands in the answer again."""

from __future__ import annotations

from base64 import encodebytes
from pathlib import Path
from typing import Any

import pytest

from orchestrator import Event, Message
from orchestrator.testing.script import Rule, Script
from tests.policy.cloud import Keeping
from tests.policy.shop import alone, shop

__all__ = ["alone"]

pytestmark = pytest.mark.anyio

MAIL, PHONE, CARD, IBAN = (
    "anna.rossi@example.org",
    "+39 347 123 4567",
    "4111 1111 1111 1111",
    "IT60X0542811101000000123456",
)
VALUES = (MAIL, PHONE, CARD, IBAN)
NOTE = b"a note for the doctor, who asks for all of that: Annabella Rossini is ill, and comes again on Monday"


def leaked(far: Keeping, *values: str) -> list[str]:
    """The values that the cloud got."""
    return [value for value in values if far.got(value)]


async def test_values_leave_as_placeholders_and_come_back_in_the_answer(tmp_path: Path) -> None:
    """The model echoes what it was sent."""
    text = f"write to {MAIL} or call {PHONE}, card {CARD}, account {IBAN}, once more {MAIL}"
    async with shop(tmp_path) as it:
        result = await it.run(text)
    assert leaked(it.far, *VALUES) == []
    assert it.far.got("write to [EMAIL_1] or call [PHONE_1], card [CARD_1], account [IBAN_1], once more [EMAIL_1]")
    assert result.text == text
    assert result.notes == (
        "agent.desk sent placeholders to the cloud in the place of values: 1 of email, 1 of phone, 1 of card, 1 of iban",
    )


async def test_values_in_codes_and_odd_groups_come_back_as_they_were_written(tmp_path: Path) -> None:
    values = (
        '"anna rossi"@example.org',
        "anna%40example.org",
        "anna&#64;example.org",
        "4 1 1 1-1 1 1 1 1 1 1 1 1 1 1 1",
    )
    text = f"write to {values[0]}, {values[1]} or {values[2]}, card {values[3]}, +39&nbsp;347&nbsp;123&nbsp;4567"
    async with shop(tmp_path) as it:
        result = await it.run(text)
    assert leaked(it.far, *values, "example.org", "4567") == []
    assert it.far.got("write to [EMAIL_1], [EMAIL_2] or [EMAIL_3], card [CARD_1], [PHONE_1]")
    assert result.text == text


@pytest.mark.parametrize(
    "card", ["4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1", "411-111/111.111_111 1", "411%20111%20111%20111%20111%201"]
)
async def test_a_card_in_any_groups_keeps_the_request_here(card: str, tmp_path: Path) -> None:
    async with shop(tmp_path, security={"redaction": {"refuse": ["card"]}}) as it:
        failed = await it.run(f"pay with {card}, please")
    assert it.far.asked == []
    assert failed.error is not None and failed.error["code"] == "ORC550"


async def test_the_control_without_redaction_the_values_arrive(tmp_path: Path) -> None:
    async with shop(tmp_path, security={"redaction": {"cloud": False}}) as it:
        await it.run(" ".join(VALUES))
    assert leaked(it.far, *VALUES) == list(VALUES)


async def test_a_model_nearby_gets_what_was_said(tmp_path: Path) -> None:
    async with shop(tmp_path, {"name": "desk", "model": "near", "instructions": "Answer."}) as it:
        await it.run(f"write to {MAIL}")
    assert it.near.got(MAIL)


async def test_pieces_of_a_stream_never_show_half_a_placeholder(tmp_path: Path) -> None:
    """Every piece that the caller gets is of the answer as it reads in the end."""
    said: list[str] = []

    def listen(event: Event) -> None:
        if event.kind == "run.delta":
            said.append(str(event.fields["text"]))

    async with shop(tmp_path) as it:
        text = f"dear {MAIL}, we called {PHONE} [sic] twice; " * 40
        result = await it.run(text, listen=listen)
    assert leaked(it.far, *VALUES) == []
    assert result.text == "".join(said) == text
    assert len(said) > 1 and not any("[EMAIL" in piece or "[PHONE" in piece for piece in said)


async def test_history_of_a_caller_and_of_a_session_leaves_with_placeholders(tmp_path: Path) -> None:
    history = (
        Message("system", f"my mail is {MAIL}"),
        Message("user", f"I am {PHONE}"),
        Message("assistant", f"yes, {IBAN}"),
    )
    async with shop(tmp_path) as it:
        await it.run("hello", history=history)
        await it.run(f"I pay with {CARD}", session="s")
        again = await it.run("with what?", session="s")
    assert leaked(it.far, *VALUES) == []
    assert it.far.got("[CARD_1]") and again.status == "completed"


async def test_what_a_tool_gave_leaves_with_placeholders_and_its_arguments_come_back_whole(tmp_path: Path) -> None:
    """The model wants a ticket with the placeholder in it, and reads all tickets after it."""
    wants: tuple[tuple[str, dict[str, str]], ...] = (
        ("tickets_create", {"subject": "for [EMAIL_1]", "body": "call [PHONE_1]"}),
        ("tickets_list", {}),
    )
    script = Script([Rule("open a ticket", say="it says: {result}", calls=wants)])
    desk = {"name": "desk", "model": "far", "instructions": "Answer.", "tools": ["tickets"]}
    async with shop(tmp_path, desk, script=script) as it:
        result = await it.run(f"open a ticket for {MAIL}, {PHONE}")
    assert leaked(it.far, *VALUES) == []
    assert MAIL in result.text and "[EMAIL_1]" not in result.text
    assert it.far.got("for [EMAIL_1]")


async def test_the_attempt_that_failed_and_why_leave_with_placeholders(tmp_path: Path) -> None:
    """The near model breaks off in the middle of an answer that names a person; the cloud is told of that."""
    agents = (
        {"name": "desk", "model": "near", "instructions": "Answer.", "escalate_to": "senior"},
        {"name": "senior", "role": "escalation", "model": "far", "instructions": "Help."},
    )
    async with shop(tmp_path, *agents, faults={"near": ("drop-mid:9",)}) as it:
        result = await it.run(f"{MAIL} asks for help with the account {IBAN} and its many entries of this year")
    assert result.served_by.startswith("openai-compatible") and result.path == ("agent.desk", "agent.senior")
    assert leaked(it.far, *VALUES) == []
    assert it.far.got("agent.desk could not finish this request")


_DESK = {"name": "desk", "instructions": "Answer.", "escalate_to": "senior"}
_WRONG = Script([Rule('"answer"', value={"right": "no"})])


@pytest.mark.parametrize(
    ("desk", "faults", "reason"),
    [
        ({"model": "near"}, {"near": ("unauthorized",)}, "HTTP 401: Invalid API Key; m is not asked again"),
        ({"model": "near", "escalate_when": [{"judge": {"model": "far"}}]}, {}, "judge: m says no"),
        ({"model": "far", "escalate_when": ["self_check"]}, {}, "self_check: m says no"),
    ],
    ids=["a fault", "judge", "self_check"],
)
async def test_the_name_of_an_endpoint_in_a_reason_is_no_address_of_a_person(
    desk: dict[str, Any], faults: dict[str, tuple[str, ...]], reason: str, tmp_path: Path
) -> None:
    """It reads like one (``ollama@host``): a hand-over would be refused for the engine's own words. The model is named instead."""
    agents = ({**_DESK, **desk}, {"name": "senior", "role": "escalation", "model": "far", "instructions": "Help."})
    security = {"redaction": {"refuse": ["email"]}}
    async with shop(tmp_path, *agents, script=_WRONG, faults=faults, security=security) as it:
        result = await it.run("what does it cost?")
    assert (result.path, result.error) == (("agent.desk", "agent.senior"), None)
    assert it.far.got(f"agent.desk could not finish this request ({reason}")
    assert not it.far.got("openai-compatible@") and not it.far.got("[EMAIL")
    assert "openai-compatible@" in result.why


async def test_nor_is_it_in_a_ticket_that_another_agent_reads(tmp_path: Path) -> None:
    """The engine writes the reason into it, and a model in the cloud is given what it holds."""
    agents = (
        {**_DESK, "model": "near", "escalate_to": "clerk"},
        {"name": "clerk", "role": "escalation", "human": {"queue": "desk"}, "tools": ["tickets"]},
        {"name": "reader", "model": "far", "instructions": "Read.", "tools": ["tickets"]},
    )
    script = Script([Rule("list tickets", say="it says: {result}", calls=(("tickets_list", {}),))])
    security, tools = {"redaction": {"refuse": ["email"]}}, [{"name": "tickets"}]
    faults = {"near": ("unauthorized",)}
    async with shop(tmp_path, *agents, script=script, faults=faults, security=security, tools=tools) as it:
        await it.run("what does it cost?", agent="desk")
        result = await it.run("list tickets", agent="reader")
    assert result.error is None
    assert it.far.got("agent.desk handed over: HTTP 401: Invalid API Key; m is not asked again")


async def test_an_encoder_in_the_cloud_gets_placeholders_while_it_learns_and_for_each_request(tmp_path: Path) -> None:
    front = {
        "name": "front",
        "role": "router",
        "encoder": "vectors",
        "stages": ["semantic"],
        "routes": ["hours", "returns"],
    }
    agents = (
        front,
        {"name": "hours", "examples": ["when do you open", f"mail the hours to {MAIL}"], "reflex": [{"say": "Nine."}]},
        {"name": "returns", "examples": ["i want to return this", "money back please"], "reflex": [{"say": "Sure."}]},
    )
    async with shop(tmp_path, *agents) as it:
        await it.run(f"call me at {PHONE} when you open")
    assert leaked(it.far, *VALUES) == []
    assert it.far.got("mail the hours to [EMAIL_1]") and it.far.got("call me at [PHONE_1] when you open")


async def test_fields_and_patterns_of_the_operator(tmp_path: Path) -> None:
    redaction = {"fields": ["patient"], "patterns": {"case": r"CASE-\d{4,8}"}}
    async with shop(tmp_path, security={"redaction": redaction}) as it:
        result = await it.run('patient: Mario Rossi, of CASE-20261126; {"patient": "Mario Rossi"}')
    assert leaked(it.far, "Mario", "20261126") == []
    assert it.far.got("patient: [PATIENT_1], of [CASE_1];")
    assert result.text == 'patient: Mario Rossi, of CASE-20261126; {"patient": "Mario Rossi"}'


async def test_a_placeholder_that_the_model_writes_otherwise(tmp_path: Path) -> None:
    """What is surely meant is put back; the rest is told."""
    said = {"small": r"to [email_1] or \[EMAIL\_1\]", "bare": "to EMAIL_1"}
    script = Script([Rule(word, say=text.replace("\\", "\\\\")) for word, text in said.items()])
    async with shop(tmp_path, script=script) as it:
        small, bare = await it.run(f"small, {MAIL}"), await it.run(f"bare, {MAIL}")
        pieces = [each.fields["text"] async for each in it.opened.stream(f"small, {MAIL}") if each.kind == "run.delta"]
    assert small.text == "".join(pieces) == f"to {MAIL} or {MAIL}" and len(small.notes) == 1
    assert bare.text == "to EMAIL_1"
    told = "the cloud wrote EMAIL_1 to agent.desk otherwise than it was sent, so that no value was put back there"
    assert told in bare.notes


async def test_the_value_of_a_field_leaves_nowhere_else_in_the_same_request(tmp_path: Path) -> None:
    """Neither before its name stands, nor in an earlier turn, nor in other letters, for which it has one placeholder: in the answer
    it is spelled as under its name."""
    earlier = (Message("user", "hello, it is about Mario Rossi"), Message("assistant", "What of MARIO ROSSI?"))
    text = "Mario Rossi called. patient: Mario Rossi, bed 4. Does mario rossi need an X-ray?"
    async with shop(tmp_path, security={"redaction": {"fields": ["patient"]}}) as it:
        result = await it.run(text, history=earlier)
    assert leaked(it.far, "Rossi", "ROSSI", "rossi") == [] and len(it.far.asked) == 1
    assert it.far.got("[PATIENT_1] called. patient: [PATIENT_1], bed 4. Does [PATIENT_1] need")
    assert it.far.got("What of [PATIENT_1]?") and result.text == text.replace("mario rossi", "Mario Rossi")


async def test_a_placeholder_that_the_user_typed_comes_back_as_typed(tmp_path: Path) -> None:
    """Whether it stands before the value that would have had it, behind it, or in a later turn."""
    async with shop(tmp_path) as it:
        for text in (f"is [EMAIL_1] {MAIL}?", f"is {MAIL} the same as [EMAIL_1] or [EMAIL_2]?"):
            assert (await it.run(text)).text == text
        earlier = (Message("user", f"it is {MAIL}"), Message("assistant", "done"))
        assert (await it.run("what is [EMAIL_1]?", history=earlier)).text == "what is [EMAIL_1]?"
    assert leaked(it.far, MAIL) == []


@pytest.mark.parametrize(
    "text",
    [
        '{"patient": {"name": "Mario Rossi"}}',
        "<patient>Mario Rossi</patient>",
        "- patient: |\n    Mario Rossi\n",
        r"it is {\"patient\": \"Mario Rossi\"}",
    ],
)
async def test_the_value_of_a_field_leaves_in_no_form(text: str, tmp_path: Path) -> None:
    """The model echoes what it was sent: all of it comes back as it was."""
    async with shop(tmp_path, security={"redaction": {"fields": ["patient"]}}) as it:
        result = await it.run(text)
    assert leaked(it.far, "Mario", "Rossi") == [] and len(it.far.asked) == 1
    assert result.text == text


async def test_a_value_without_an_end_keeps_the_request_here(tmp_path: Path) -> None:
    async with shop(tmp_path, security={"redaction": {"fields": ["patient"]}}) as it:
        result = await it.run('it is {"patient": {"name": "Mario Rossi"')
    assert it.far.asked == [] and result.error is not None and result.error["code"] == "ORC550"
    assert "how far the value of the field patient goes cannot be told" in result.error["message"]


async def test_what_must_be_refused_keeps_the_request_here(tmp_path: Path) -> None:
    """Nothing is sent, the reason says which rule and not which value, and a person behind the agent takes over."""
    agents = (
        {
            "name": "desk",
            "model": "far",
            "instructions": "Answer.",
            "escalate_to": "clerk",
            "escalate_when": ["timeout"],
        },
        {"name": "clerk", "role": "escalation", "reflex": [{"say": "A clerk calls you."}]},
    )
    async with shop(tmp_path, security={"redaction": {"refuse": ["card"]}}) as it:
        failed = await it.run(f"pay with {CARD}")
    assert it.far.asked == []
    assert failed.error is not None and (failed.error["code"], failed.error["kind"]) == ("ORC550", "Withheld")
    assert failed.error["message"] == (
        "agent.desk: it stays on this device: it holds something of the kind card, which must not leave"
    )
    assert (
        failed.decisions[-1]
        .as_json()["why"]
        .endswith(
            "zone: the manifest names a model in the cloud; privacy: not restricted; budget: none is set; "
            "redaction: it stays on this device: it holds something of the kind card, which must not leave"
        )
    )
    async with shop(tmp_path, *agents, security={"redaction": {"refuse": ["card"]}}) as it:
        passed = await it.run(f"pay with {CARD}")
    assert it.far.asked == [] and passed.text == "A clerk calls you."


async def test_a_redactor_that_fails_sends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever goes wrong in it, the request stays."""
    from orchestrator.core import personal

    def broken(text: str) -> Any:
        raise RuntimeError(f"cannot read {text}")

    monkeypatch.setitem(personal._FINDERS, "email", broken)
    async with shop(tmp_path) as it:
        result = await it.run(f"write to {MAIL}")
    assert it.far.asked == []
    assert result.error is not None and result.error["message"] == "agent.desk: redaction failed: RuntimeError"


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("patient: 王小明\n昨天王小明来了", ("王小明",)),
        ("patient: محمد\n(محمد)", ("محمد",)),
        ("patient: Annabella Rossini\nSignora Rossini, A. Rossini; Annabella R.", ("Rossini", "Annabella")),
        ("patient:\n  first: Annabella\n  last: Rossini\n\nLater, Rossini came", ("Rossini", "Annabella")),
        (
            "patient: Rossini\nRos\u00adsini, \uff32\uff4f\uff53\uff53\uff49\uff4e\uff49",
            ("Ros\u00adsini", "\uff32\uff4f\uff53"),
        ),
        *(
            (
                f"patient: Annabella Rossini\nattachment:\n{(written := encodebytes(NOTE[at:]).decode())}",
                (written[64:76],),
            )
            for at in range(3)
        ),
    ],
)
async def test_a_name_leaves_in_none_of_its_forms(tmp_path: Path, text: str, names: tuple[str, ...]) -> None:
    """In a script without capitals, one by one, in a block, as it is read, and in an attachment over the end of a line."""
    async with shop(tmp_path, security={"redaction": {"fields": ["patient"]}}) as it:
        result = await it.run(text)
    assert leaked(it.far, *names) == [] and result.text.split() == text.split()


async def test_a_value_comes_back_as_json_also_where_the_schema_was_said_in_words(tmp_path: Path) -> None:
    """The server makes no grammar of it, and is asked twice: neither request holds the value, and the answer is JSON still."""
    schema = {"type": "object", "properties": {"case": {"type": "string"}}, "required": ["case"]}
    clerk = {"name": "desk", "model": "far", "instructions": "Answer.", "output_schema": schema}
    script = Script([Rule(say='{"case": "[CASE_1]"}')])
    security = {"redaction": {"patterns": {"case": r'CASE "\d{4,8}"'}}}
    async with shop(tmp_path, clerk, script=script, faults={"far": ("grammar-refused@*",)}, security=security) as it:
        result = await it.run('what of CASE "12345"?')
    assert result.value == {"case": 'CASE "12345"'}
    assert len(it.far.asked) == 2 and leaked(it.far, "12345") == []
    assert any("it was asked in words" in note for note in result.notes)
