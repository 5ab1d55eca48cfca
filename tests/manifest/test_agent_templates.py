"""The agent templates: well formed, quick to load, and each of their rules fires on its own examples."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from orchestrator.core.blueprint import ReflexSpec
from orchestrator.core.conditions import Matter
from orchestrator.core.errors import ToolFailed
from orchestrator.core.pattern import compile_safely
from orchestrator.core.schema_check import check_arguments
from orchestrator.core.words import LONGEST_TEXT
from orchestrator.deploy.reflex import ReflexTable, compile_reflexes, fill_value
from orchestrator.manifest.catalogue.reader import NEUTRAL, find_template, template_names
from orchestrator.manifest.spec.agent import AgentEntry, ReflexRule
from orchestrator.manifest.spec.tool import BuiltinTool
from orchestrator.plugins.strategies.lexical import fit_lexical
from orchestrator.plugins.tools.calendar import open_calendar
from orchestrator.plugins.tools.clock import open_clock
from orchestrator.plugins.tools.database import open_database
from orchestrator.plugins.tools.email import open_email
from orchestrator.plugins.tools.knowledge import open_knowledge
from orchestrator.plugins.tools.tickets import open_tickets
from orchestrator.ports.strategy import Candidate, RouteQuestion, Skill, StrategyOptions
from orchestrator.ports.tool import Tool, ToolContext, ToolPlace

BUILTINS = get_args(BuiltinTool)
NAMED_IN_THE_SEED = ("customer-service", "scheduling", "technical-support", "documentation", "primary-agent")
TALKING = [name for name in template_names() if name != NEUTRAL]
WITH_RULES = [name for name in template_names() if name != "coding"]
KEPT_WHOLE = {"body", "note"}
NOW = datetime(2026, 3, 4, 10, 0, tzinfo=UTC).timestamp()  # a Wednesday


@cache
def template(name: str) -> AgentEntry:
    found = find_template(name)
    assert found is not None
    return found


def spec_of(rule: ReflexRule) -> ReflexSpec:
    return ReflexSpec(
        when=rule.when.model_dump(exclude_none=True),
        extract=dict(rule.extract),
        call=rule.call,
        arguments=dict(rule.arguments),
        say=rule.say,
        first=False,
        unsure=rule.unsure,
    )


def table_of(rules: list[ReflexRule]) -> ReflexTable:
    """The rules as the engine compiles them; they name no intents, so nothing is fitted."""
    return compile_reflexes([spec_of(rule) for rule in rules], lambda candidates: pytest.fail("intents"))


@cache
def alone(name: str) -> list[ReflexTable]:
    return [table_of([rule]) for rule in template(name).reflex]


@cache
def whole(name: str) -> ReflexTable:
    return table_of(template(name).reflex)


def fires(name: str, number: int, text: str) -> bool:
    return next(alone(name)[number].fire(Matter(text), first=False), None) is not None


def examples(rule: ReflexRule) -> list[str]:
    return rule.when.examples or []


def test_there_are_templates_for_the_names_of_the_seed_and_a_neutral_one() -> None:
    assert {*NAMED_IN_THE_SEED, NEUTRAL} <= set(template_names())
    assert len(TALKING) >= 12


@pytest.mark.parametrize("name", template_names())
def test_a_template_is_well_formed(name: str) -> None:
    entry = template(name)
    assert entry.name == name
    assert entry.role == "specialist"
    assert entry.description.endswith(".")
    assert entry.instructions is not None
    assert 100 < len(entry.instructions) < 900, "small models lose long prompts"
    assert "{{" not in entry.instructions, "a fixed prompt is made once and costs nothing per request"
    assert set(entry.tools) <= set(BUILTINS)
    assert entry.model is None, "which model serves it is the manifest's to say"


@pytest.mark.parametrize("name", TALKING)
def test_a_template_teaches_routers_what_it_is_for(name: str) -> None:
    entry = template(name)
    assert entry.keywords
    assert len(entry.skills) >= 3
    for skill in entry.skills:
        assert skill.description
        assert len(skill.examples) >= 3, skill.name
    told = [example for skill in entry.skills for example in skill.examples]
    assert len(set(told)) == len(told)


@pytest.mark.parametrize("name", WITH_RULES)
def test_every_rule_shows_what_it_is_for_and_calls_a_tool_of_its_template(name: str) -> None:
    """A rule that asks back calls something harmless too: a rule is there only for agents that have the tool it calls."""
    entry = template(name)
    assert entry.reflex
    for rule in entry.reflex:
        assert len(examples(rule)) >= 3
        tool = (rule.call or "").partition(".")[0]
        assert tool in (BUILTINS if entry.name == NEUTRAL else entry.tools)


@pytest.mark.parametrize("name", WITH_RULES)
def test_a_rule_fires_on_its_own_examples_and_no_other_comes_first(name: str) -> None:
    rules = template(name).reflex
    table = whole(name)
    faults = []
    for number, rule in enumerate(rules, 1):
        for text in examples(rule):
            firing = next(table.fire(Matter(text), first=False), None)
            if firing is None or firing.reflex.number != number:
                faults.append((text, rule.call, firing and firing.reflex.call))
    assert faults == []


@pytest.mark.parametrize("name", WITH_RULES)
def test_a_rule_fires_on_no_example_of_a_rule_that_does_something_else(name: str) -> None:
    """Except those that stand last for what no other took: they ask back, or search with the whole request."""
    rules = template(name).reflex
    faults = [
        (rule.call, text)
        for number, rule in enumerate(rules)
        if not rule.unsure and "text" not in rule.arguments.get("query", "")
        for other in rules
        if other.call != rule.call
        for text in examples(other)
        if fires(name, number, text)
    ]
    assert faults == []


@pytest.mark.parametrize("name", WITH_RULES)
def test_patterns_are_safe_and_cut_nothing_that_is_kept(name: str) -> None:
    for rule in template(name).reflex:
        for pattern in filter(None, (rule.when.regex, rule.when.asks)):
            assert compile_safely(pattern, whole=True).longest >= 350
        for key, source in rule.extract.items():
            taken = compile_safely(source, whole=True)
            assert taken.longest >= 350
            assert taken.reach > LONGEST_TEXT or key not in KEPT_WHOLE


@pytest.mark.parametrize("name", template_names())
def test_a_template_is_read_in_milliseconds(name: str) -> None:
    text = files("orchestrator.manifest.catalogue").joinpath("templates", f"{name}.yaml").read_text(encoding="utf-8")
    times = []
    for _ in range(5):
        began = time.perf_counter()
        yaml.load(text, Loader=yaml.CSafeLoader)
        times.append(time.perf_counter() - began)
    assert min(times) < 0.02


def test_the_same_rule_is_the_same_in_every_template() -> None:
    """Templates are self-contained, so that only the one that is named is read; this holds their copies together."""
    known: dict[tuple[str, ...], ReflexRule] = {}
    for name in template_names():
        for rule in template(name).reflex:
            assert known.setdefault(tuple(examples(rule)), rule) == rule, (name, rule.call)


def test_the_templates_of_the_seed_can_be_told_apart_by_their_examples() -> None:
    names = NAMED_IN_THE_SEED[:4]
    candidates = tuple(
        Candidate(name, entry.description, tuple(Skill(s.name, s.description, tuple(s.examples)) for s in entry.skills))
        for name in names
        for entry in [template(name)]
    )
    strategy = fit_lexical(candidates, StrategyOptions())
    asked = {
        "what is on my calendar on monday": "scheduling",
        "when am I free tomorrow": "scheduling",
        "cosa ho in agenda lunedì": "scheduling",
        "fissa un appuntamento con Mario domani alle 15": "scheduling",
        "I have a complaint about the last delivery": "customer-service",
        "vorrei restituire un prodotto": "customer-service",
        "the printer in my office does not print": "technical-support",
        "I forgot the password of my account": "technical-support",
        "search the manual for the filter": "documentation",
    }
    assert {text: strategy.decide_now(RouteQuestion(text)).choice for text in asked} == asked


@pytest.fixture
async def tools(tmp_path: Path) -> AsyncIterator[Mapping[str, Tool]]:
    """The real built-in tools, at a fixed time, with a manual in the documents."""

    def place(name: str) -> ToolPlace:
        (tmp_path / name).mkdir(mode=0o700)
        return ToolPlace(tmp_path / name, tmp_path)

    manual = place("knowledge")
    (manual.state / "documents").mkdir()
    (manual.state / "documents" / "manual.md").write_text("# Paper jam\n\nOpen the back door and pull the paper.\n")
    zone = {"timezone": "UTC"}
    opened: dict[str, Tool] = {
        "calendar": open_calendar("calendar", zone, place("calendar"), lambda: NOW),
        "clock": open_clock("clock", zone, place("clock"), lambda: NOW),
        "database": open_database("database", {}, place("database")),
        "email": open_email("email", {}, place("email"), lambda: NOW),
        "knowledge": open_knowledge("knowledge", {}, manual),
        "tickets": open_tickets("tickets", {}, place("tickets"), lambda: NOW),
    }
    yield opened
    for tool in opened.values():
        await tool.aclose()


async def answer(tools: Mapping[str, Tool], name: str, text: str) -> str:
    """What an agent of this template says without a model: the reflex step of the engine, without the engine."""
    firing = next(whole(name).fire(Matter(text), first=False), None)
    assert firing is not None, text
    tool, _, _ = firing.reflex.call.partition(".")
    function = next(one for one in tools[tool].functions if one.name == firing.reflex.call)
    values: dict[str, Any] = {**firing.values, "text": text, "session": ""}
    checked = check_arguments(fill_value(firing.reflex.arguments, values), function.parameters)
    assert not checked.fault, (text, checked.fault)
    values["result"] = (await function.run(checked.value, ToolContext(call_id=text))).value
    said: str = firing.reflex.say(values)
    return said


async def told_or_refused(tools: Mapping[str, Tool], name: str, text: str) -> str:
    try:
        return await answer(tools, name, text)
    except ToolFailed as refusal:
        return f"refused: {refusal.message}"


ENGLISH = (
    *("do not {}", "don't {}", "please do not {}", "never {}", "you must not {}", "I don't want you to {}"),
    *(
        "why did you {}?",
        "did you {}?",
        "who told you to {}?",
        "how do I {}?",
        "what happens if you {}",
        "should I {}?",
    ),
    *("you forgot to {}", "Anna said: {}", "they asked me to {} and I did", "I wanted to {} but it is too late"),
)
ITALIAN = ("non {}", "per favore non {}", "perché hai voluto {}?", "come si fa a {}?", "hai dimenticato di {}", "se {}")
REPORTS = (
    *("you closed ticket T-1001", "why was ticket T-1001 closed?", "ticket T-1001 was closed by mistake"),
    *("close ticket T-1001 only when the part has arrived", "close ticket T-1001? no!", "mark ticket T-1001 as urgent"),
    *("close ticket T-1001 and T-1002", "you opened a ticket for me", "the note on ticket T-1001 is wrong"),
    *("you sent an email to bob@example.org saying hello", "the email to bob@example.org that you wrote is wrong"),
    *("send the report to bob@example.org: it is late", "send an email to bob@example.org and eve@example.org: hello"),
    *("you cancelled event 7@example.org", "cancel event 7@example.org if it rains"),
    *("you booked a meeting with Anna tomorrow at 10:00", "hai aperto un ticket: stampante rotta"),
    *("hai fissato un appuntamento con Anna domani alle 10", "non voglio che tu fissi un appuntamento domani alle 10"),
)
"""Requests that hold the words of a rule that writes, and do not ask for what it does."""


def writing(tools: Mapping[str, Tool], rule: ReflexRule) -> bool:
    """Whether what a rule calls changes anything, by what the tool itself says."""
    function = next((f for tool in tools.values() for f in tool.functions if f.name == rule.call), None)
    assert function is not None, rule.call
    return function.effect != "read"


def negatives(rules: list[ReflexRule]) -> Iterator[str]:
    """Every request of the rules turned into what does not ask for it, in its own language."""
    for rule in rules:
        for text in examples(rule):
            italian = re.match(r"(?:apri|segnala|crea un|fissa|aggiungi dentista|segnami)", text)
            yield from (form.format(text.removeprefix("please ")) for form in (ITALIAN if italian else ENGLISH))
    yield from REPORTS


@pytest.mark.anyio
@pytest.mark.parametrize("name", WITH_RULES)
async def test_a_rule_that_writes_fires_on_no_negation_question_or_report(name: str, tools: Mapping[str, Tool]) -> None:
    """It looks at what is asked, and abstains; what answers instead only reads."""
    rules = [rule for rule in template(name).reflex if writing(tools, rule)]
    assert all(rule.when.asks for rule in rules)
    wrong = []
    for text in negatives(rules):
        firing = next(whole(name).fire(Matter(text), first=False), None)
        if firing is not None and writing(tools, template(name).reflex[firing.reflex.number - 1]):
            wrong.append((text, firing.reflex.call))
    assert wrong == []


@pytest.mark.anyio
async def test_every_function_that_writes_is_looked_at(tools: Mapping[str, Tool]) -> None:
    """The test above means something: templates call all of these."""
    called = {rule.call for name in WITH_RULES for rule in template(name).reflex if writing(tools, rule)}
    assert called == {
        *("calendar.book", "calendar.cancel", "email.send", "tickets.close", "tickets.create", "tickets.note")
    }


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("customer-service", "hi, can you please close ticket T-1001?"),
        ("customer-service", "I would like to report a problem: the door does not close"),
        ("customer-service", "potresti aprire un ticket: la porta non si chiude"),
        ("primary-agent", "Hello! Could you email bob@example.org: do not forget the meeting"),
        ("primary-agent", "please send bob@example.org an email"),
        ("primary-agent", "could you book lunch with Anna tomorrow at noon, please"),
        ("primary-agent", "per favore fissa un appuntamento con Anna domani alle 10"),
    ],
)
def test_polite_requests_are_requests(name: str, text: str) -> None:
    """Greetings, polite words and a negation inside what is to be written change nothing."""
    assert next(whole(name).fire(Matter(text), first=False), None) is not None


@pytest.mark.anyio
@pytest.mark.parametrize("name", WITH_RULES)
async def test_every_example_is_answered_by_the_real_tools(name: str, tools: Mapping[str, Tool]) -> None:
    for _ in range(3):
        await answer(tools, "specialist", "open a ticket: printer broken")
    await answer(tools, "specialist", "open a ticket: screen black")
    await answer(tools, "specialist", "open a ticket: no sound")
    for rule in template(name).reflex:
        for text in examples(rule):
            told = await told_or_refused(tools, name, text)
            assert told
            assert not told.startswith("refused") or "no event" in told or "is taken" in told


DAY = {
    "scheduling": """\
> what is on my calendar tomorrow
Nothing is on the calendar (2026-03-05).
> book a meeting with Anna tomorrow at 10:00
I added "meeting with Anna" on 2026-03-05 10:00 - 10:30.
> book a meeting with Bob
For which day and time? Write it like: book a meeting with Anna tomorrow at 10:00.
> what is on my calendar tomorrow
2026-03-05 10:00  meeting with Anna
> when am I free tomorrow
2026-03-05 09:00 - 10:00
2026-03-05 10:30 - 18:00
> cosa ho in agenda domani
2026-03-05 10:00  meeting with Anna
> fissa un appuntamento con Mario venerdì alle 15:30
Ho aggiunto "appuntamento con Mario", 2026-03-06 15:30 - 16:00.
> when is my meeting with Anna
2026-03-05 10:00  meeting with Anna
> what time is it
It is 10:00 on Wednesday, 2026-03-04.
> che ore sono
Sono le 10:00 del 2026-03-04.
> what date is friday
That is Friday, 2026-03-06.
""",
    "customer-service": """\
> open a ticket: printer broken
I opened ticket T-1001: printer broken.
> apri un ticket: la porta non si chiude
Ho aperto il ticket T-1002: la porta non si chiude.
> open a ticket
What is it about? Write it like: open a ticket: the printer is broken.
> add a note to T-1001: the customer called again
I added the note to T-1001.
> what is the status of T-1001?
T-1001 (open, normal): printer broken
- the customer called again
> do not close ticket T-1001
This request changes nothing. Begin with what is to be done, like: close ticket T-1001, or: open a ticket: the printer is broken.
> why did you close ticket T-1001?
This request changes nothing. Begin with what is to be done, like: close ticket T-1001, or: open a ticket: the printer is broken.
> non aprire un ticket
Questa richiesta non cambia nulla. Scrivi all'inizio che cosa fare, per esempio: apri un ticket: stampante rotta.
> close ticket T-1001
T-1001 is closed: printer broken.
> show my tickets
T-1002  open  la porta non si chiude
> search the manual for paper jam
Open the back door and pull the paper. (manual.md)
> how do I clear a paper jam?
Open the back door and pull the paper. (manual.md)
""",
    "primary-agent": """\
> send an email to anna@example.org saying the order is ready
The mail to anna@example.org is in the outbox; a person sends it.
> send an email to Anna
To which address, and saying what? Write it like: send an email to anna@example.org saying the order is ready.
> list my emails
Wed, 04 Mar 2026 10:00:00 +0000  anna@example.org  the order is ready
> do not send an email to bob@example.com saying hello
This request sends no mail. To send one, write it like: send an email to anna@example.org saying the order is ready.
> send the report to bob@example.org: it is late
To which address, and saying what? Write it like: send an email to anna@example.org saying the order is ready.
> send an email to bob@example.org subject Lunch: are you free?
The mail to bob@example.org is in the outbox; a person sends it.
> list my emails
Wed, 04 Mar 2026 10:00:00 +0000  bob@example.org  Lunch
Wed, 04 Mar 2026 10:00:00 +0000  anna@example.org  the order is ready
> what is in the database
The database has no tables yet.
""",
}


@pytest.mark.anyio
@pytest.mark.parametrize("name", DAY)
async def test_a_day_without_a_model(name: str, tools: Mapping[str, Tool]) -> None:
    told = ""
    for text in [line.removeprefix("> ") for line in DAY[name].splitlines() if line.startswith("> ")]:
        told += f"> {text}\n{await answer(tools, name, text)}\n"
    assert told == DAY[name]


ASKED = {
    "primary-agent": """\
> what is on my calendar next week?
2026-03-09 10:00  Meeting with Bob
> cosa ho in agenda la settimana prossima?
2026-03-09 10:00  Meeting with Bob
> what was on my calendar yesterday?
Nothing is on the calendar (2026-03-03).
> any meetings with Bob tomorrow?
Nothing with "bob" is on the calendar (2026-03-05).
> do I have meetings after 15:00 tomorrow?
Nothing is on the calendar (2026-03-05 15:00 - 24:00).
> what do I have this weekend?
Nothing is on the calendar (2026-03-07 - 2026-03-08).
> do I have appointments on monday or tuesday?
refused: "do I have appointments on monday or tuesday?" names two times; ask for one, or for a span like monday to friday
> am I free tomorrow at 9:15?
There is no free time then (2026-03-05 09:15 - 09:45).
> when is my dentist appointment?
2026-03-05 09:00  Dentist
> add a meeting with Eva on 2026-12-24 at 15:00 for 2 hours
I added "meeting with Eva" on 2026-12-24 15:00 - 17:00.
> book a call on Monday 14 December at 3pm with Bob
I added "call with Bob" on 2026-12-14 15:00 - 15:30.
> book a standup every monday at 10:00
refused: "book a standup every monday at 10:00" asks for a series; I can add one event at a time
> cancel the visit of the museum
I found no such event with "visit museum" (2026-03-04 10:00 - 2027-03-04 10:00). Write a word of its title, \
like: cancel the meeting with Anna.
> why did you send an email to bob@example.com?
This request sends no mail. To send one, write it like: send an email to anna@example.org saying the order is ready.
> which mails did I get today?
I only know the outbox, the mails that were written here, and cannot choose among them. To see it, write: show the outbox.
> what day is it tomorrow?
That is Thursday, 2026-03-05.
""",
    "technical-support": """\
> show closed tickets
T-1001  closed  broken printer
> show high priority tickets
There is no open high-priority ticket.
> how many tickets are open?
1 open ticket.
> open an urgent ticket: server down
I opened ticket T-1003 (high priority): server down.
> show high priority tickets
T-1003  open  server down
> any tickets about the printer?
There is no open ticket with "printer".
> show tickets and appointments
refused: "show tickets and appointments" asks for two things; ask for one at a time
> show tickets 1001 and 1002
One ticket at a time, please, like: show ticket T-1001.
> open an urgent ticket
What is it about? Write it like: open a ticket: the printer is broken.
""",
    "customer-service": """\
> how do I clear a paper jam?
Open the back door and pull the paper. (manual.md)
> are you open on the moon?
I found nothing about that in the documents.
> quali ticket sono chiusi?
T-1001  closed  broken printer
> quanti ticket sono aperti?
Ticket: 1.
> apri un ticket urgente: server fermo
Ho aperto il ticket T-1003 (priorità alta): server fermo.
""",
}


@pytest.mark.anyio
@pytest.mark.parametrize("name", ASKED)
async def test_what_is_asked_is_answered_or_refused_and_nothing_else_is_told(
    name: str, tools: Mapping[str, Tool]
) -> None:
    """The questions of a user who looked for wrong answers."""
    for request in ("Dentist tomorrow at 9:00", "Meeting with Bob on 2026-03-09 at 10:00"):
        await answer(tools, "scheduling", f"add {request}")
    for subject in ("broken printer", "slow laptop"):
        await answer(tools, "specialist", f"open a ticket: {subject}")
    await answer(tools, "specialist", "close ticket T-1001")
    told = ""
    for text in [line.removeprefix("> ") for line in ASKED[name].splitlines() if line.startswith("> ")]:
        told += f"> {text}\n{(await told_or_refused(tools, name, text)).strip()}\n"
    assert told == ASKED[name]


@pytest.mark.parametrize("name", ["primary-agent", "scheduling", "reception", "specialist"])
@pytest.mark.parametrize(
    "text",
    [
        "what time is it in Tokyo?",
        "what is the time of my flight?",
        "cancel order 48210",
        "cancel ticket T-1001",
        "what tables do you sell?",
    ],
)
def test_what_no_tool_knows_fires_no_rule_that_answers(name: str, text: str) -> None:
    firing = next(whole(name).fire(Matter(text), first=False), None)
    assert firing is None or firing.reflex.unsure
