"""A verdict is read in whichever form a model writes it: a no never as a yes, and what is neither as not decided."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from orchestrator.serve.doubt.reading import LONGEST, TWICE, verdict_of

NOES: Final = (
    *(
        "no",
        "No.",
        "NO",
        "nope",
        "n",
        "not",
        "Not right.",
        "wrong",
        "incorrect",
        "It is incorrect.",
        "The answer is wrong.",
    ),
    *(
        "No, it is wrong",
        "The answer is not correct",
        "The answer is not corr",
        "It isn't right",
        "It isn\u2019t right",
        "false",
    ),
    *("no, sbagliato", "falso", "errato", "La risposta non è corretta", "È sbagliata", "scorretto", "incorretta"),
    *("nein", "falsch", "Die Antwort ist nicht richtig", "Das ist ein Fehler", "inkorrekt", "Nein, sie ist unrichtig."),
    *("non", "faux", "C'est faux", "La réponse n'est pas correcte", "inexact", "Non, c'est une erreur"),
    *("No, es falso", "incorrecto", "La respuesta no es correcta", "equivocada", "es errónea", "nunca"),
    *("0", "0.0", "-1", "0.2", "0/10", "2/10", "20%", "0,3", "\u274c"),
)
YESES: Final = (
    *("yes", "Yes.", "YES", "yes, it is right", "Yes, the answer is right and answers the request.", "true", "correct"),
    *("The answer is correct.", "It is right"),
    *("sì", "Sì.", "Sì, è corretta", "La risposta è corretta", "giusto", "corretto", "vero"),
    *("ja", "Ja, die Antwort ist richtig.", "Die Antwort ist richtig", "korrekt", "wahr"),
    *("oui", "Oui, c'est correct", "C'est juste", "La réponse est correcte", "vrai"),
    *("sí", "Sí, es correcta", "La respuesta es correcta", "correcto", "verdadero"),
)
UNDECIDED: Final = (
    *(
        "",
        " ",
        "maybe",
        "I do not know",
        "not sure",
        "It depends.",
        "yes and no",
        "Yes, but the price is old",
        "partly correct",
    ),
    *("forse", "vielleicht", "peut-être", "quizás", "non lo so", "Ich weiß es nicht", "Je ne sais pas", "no lo sé"),
    *(
        "1",
        "10",
        "0.7",
        "80%",
        "...",
        "It costs nine.",
        "The correct answer is 42",
        "Correct answer: yes",
        "si sbuccia",
        "null",
    ),
    *(
        "yes 0",
        "Sure, I will check it.",
        "<think>yes, so far",
        '{"rig',
        "{}",
        "[]",
        '{"reason": "yes"}',
        '{"x": "yes"}',
    ),
    *(
        "Yes, the answer is incomplete.",
        "Yes. The answer is misleading: it should be 99 euro instead of 89.",
        "Yes, I doubt it.",
        "yes/n",
        "Yes, the price is outdated",
        "Yes?",
        "Is the answer right?",
        "Yes \u26a0",
        "Ja, die Antwort ist veraltet.",
        "right: yes\nThe price is outdated.",
        '{"right":"yes"} although the price is outdated',
        '{"right":"yes"} \u26a0',
        '{"right": "yes", "complete": "partly"}',
        '{"right": "yes", "a": ' + "[" * 30 + "false" + "]" * 30 + "}",
    ),
)
NAMES: Final = (
    "right",
    "Right",
    "correct",
    "is_correct",
    "isCorrect",
    "verdict",
    "final_verdict",
    "giusto",
    "richtig",
    "correcto",
)

Wrap = Callable[[str, str], str]
WRAPS: Final[dict[str, Wrap]] = {
    "bare": lambda _, said: said,
    "thought": lambda _, said: f"<think>Yes, I think it is right. No, it is not.</think>\n{said}",
    "only the end of a thought": lambda _, said: f"It is right, yes.\n</think>\n\n{said}",
    "bold": lambda _, said: f"**{said}**",
    "JSON": lambda name, said: json.dumps({name: said}),
    "JSON with a reason": lambda name, said: json.dumps({name: said, "reason": "Yes, not bad: no fault in it"}),
    "nested": lambda name, said: json.dumps({"verdict": {name: said}}),
    "deeper": lambda name, said: json.dumps({"check": {"result": {name: {"value": said}}}}),
    "under answer": lambda _, said: json.dumps({"answer": said}),
    "a list": lambda name, said: json.dumps({name: [said]}),
    "a text of JSON": lambda _, said: json.dumps(said),
    "a fence": lambda name, said: f"```json\n{json.dumps({name: said})}\n```",
    "within prose": lambda name, said: f"Here you are: {json.dumps({name: said})} I hope this helps.",
    "of Python": lambda name, said: f"{{'{name}': \"{said}\"}}",
    "YAML": lambda name, said: f"{name}: {said}",
    "YAML with a reason": lambda name, said: f"- {name}: {said}\n- reason: yes, there is no doubt",
    "Markdown": lambda name, said: f"**{name}:** {said}",
    "a heading": lambda _, said: f"## Verdict: {said}",
    "a dash": lambda name, said: f"{name} - {said}",
    "tags": lambda name, said: f"<{name}>{said}</{name}>",
    "the question": lambda _, said: f"Is the answer right, and does it answer the request? {said}",
    "cut off": lambda name, said: f'{{"{name}": "{said}',
    "white space": lambda name, said: f"\n\n  {json.dumps({name: said}, indent=2)}\n",
}
wraps = st.sampled_from(sorted(WRAPS)).map(WRAPS.__getitem__)


@given(said=st.sampled_from(NOES), wrap=wraps, name=st.sampled_from(NAMES), around=st.sampled_from(["", "\n", "  "]))
def test_a_no_is_a_no_in_every_form(said: str, wrap: Wrap, name: str, around: str) -> None:
    """In five languages, as a number or drawn, in JSON and out of it."""
    assert verdict_of(f"{around}{wrap(name, said)}{around}") == "no"


@given(said=st.sampled_from(YESES), wrap=wraps, name=st.sampled_from(NAMES))
def test_a_yes_is_a_yes_in_every_form(said: str, wrap: Wrap, name: str) -> None:
    """Else a judge in whose form we do not read would send every answer up."""
    assert verdict_of(wrap(name, said)) == "yes"


@pytest.mark.parametrize("said", UNDECIDED)
def test_what_is_neither_is_not_decided(said: str) -> None:
    """Nobody has said then that the answer is right."""
    assert verdict_of(said) == ""


@given(
    first=st.sampled_from(YESES),
    then=st.sampled_from(NOES),
    between=st.sampled_from([", ", ". ", "\n", " - ", " but "]),
)
@example(first="yes", then="0.2", between=": ")
def test_a_no_beside_a_yes_is_never_a_yes(first: str, then: str, between: str) -> None:
    """In either order; a number is looked for in its own place alone."""
    if then[0].isalpha() and then != "n":
        assert verdict_of(f"{first}{between}{then}") != "yes"
        assert verdict_of(f"{then}{between}{first}") != "yes"
        assert verdict_of(json.dumps({"right": first}) + f" Wait: {then}") != "yes"


@given(pairs=st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from([*NOES, *YESES])), min_size=2, max_size=4))
def test_verdicts_that_differ_are_never_a_yes(pairs: list[tuple[str, str]]) -> None:
    """Also where JSON's reader would tell the last of them only."""
    text = "{" + ", ".join(f"{json.dumps(name)}: {json.dumps(said)}" for name, said in pairs) + "}"
    assert verdict_of(text) == ("no" if all(said in NOES for _, said in pairs) else TWICE)


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ('{"right": false}', "no"),
        ('{"right": true}', "yes"),
        ('{"right": 0}', "no"),
        ('{"right": 1}', "yes"),
        ('{"right": -1}', "no"),
        ('{"right": 0.2}', "no"),
        ('{"right": 0.7}', ""),
        ('{"right": null}', ""),
        ('{"verdict": {"correct": false}}', "no"),
        ("{'right': False}", "no"),
        ("{'right': True}", "yes"),
        ('{"wrong": true}', "no"),
        ('{"wrong": false}', ""),
        ("incorrect: yes", "no"),
        ("false", "no"),
        ("[0]", "no"),
        ('{"right": "yes", "answer": "no"}', TWICE),
        ('{"right": "yes", "answers_request": false}', TWICE),
        ('{"right": "yes", "answers_request": true}', "yes"),
        ('{"right": "yes", "score": 0}', TWICE),
        ('{"right": "yes", "score": 1}', "yes"),
        ('{"right": "yes", "reason": false}', TWICE),
        ('{"right": "yes", "note": "no"}', TWICE),
        ('{"right": "yes", "notes": {"complete": [false]}}', TWICE),
        ('{"right": "yes", "notes": [], "comment": null}', "yes"),
        ('{"right": "yes", "confidence": 0}', "yes"),
        ('{"right": "yes", "confidence": 0.2}', "yes"),
        ('{"right": "yes", "issues": ["the price is old"]}', TWICE),
        ('{"right": "yes", "issues": []}', "yes"),
        ('{"request": "how much?", "answer": "89 euro", "right": "yes"}', "yes"),
        ('{"right":"yes"}\n{"score": 0}', TWICE),
        ('{"right": "yes"}\nReason: the shop says so', "yes"),
        ('{"right": "yes", "detail": "wrong"}', TWICE),
        ('{"right": "no", "correct_answer": "12"}', "no"),
        ("Verdict: yes\nThe answer is wrong.", TWICE),
    ],
)
def test_what_the_name_of_a_value_makes_of_it(text: str, verdict: str) -> None:
    """A number, a truth, and a name that turns the meaning. A no under any other name takes a yes back, also where it may only be
    the answer that was judged."""
    assert verdict_of(text) == verdict


@given(
    said=st.sampled_from(["yes", "Yes", "ja", "oui", '{"right": "yes"}', '{"right": true}', "right: yes"]),
    between=st.sampled_from([" ", ", ", ". ", "\n", " - ", ": "]),
    beside=st.text("abcdefghijklmnopqrstuvwxyz\u00e9\u00df\u738b", min_size=12, max_size=20),
)
def test_words_that_nobody_knows_make_a_yes_undecided(said: str, between: str, beside: str) -> None:
    """No list of faults is ever whole; so it is the yes that is known word by word."""
    assert verdict_of(f"{said}{between}{beside}") != "yes"


@pytest.mark.parametrize(
    "said",
    [
        "Yes, it is correct",
        "yes. The answer is right and complete",
        "Yes \u2705",
        '{"right": "yes"} Thanks',
        "Yes, correct.",
        "yes<|im_end|>",
        "Sì, è corretta e risponde alla richiesta",
        "Yes, it fully answers the question.",
    ],
)
def test_words_that_say_the_same_leave_a_yes(said: str) -> None:
    """A closed list, in five languages."""
    assert verdict_of(said) == "yes"


@given(text=st.text(max_size=300))
@example(text="[" * 100_000)
@example(text="{" * LONGEST + "yes")
@example(text="right: " * LONGEST)
@example(text="<think>" * LONGEST)
@example(text="\ud800")
def test_whatever_comes_is_read(text: str) -> None:
    """In time, and as one of the four."""
    assert verdict_of(text) in ("yes", "no", TWICE, "")


@pytest.mark.parametrize(
    ("begins", "inner", "ends"),
    [
        ("right,", " ", "x"),
        ("right,", " *", "x"),
        ("right,", "<a> </a>", "x"),
        ("right,", "\t \n", "x"),
        ("right:", " ", "x" * 500),
        ("right", " ", "x"),
        ("", ",a ", ""),
        ("", ", ", "x"),
        ("1/", " ", "x"),
        ("", "<|", "x"),
        ("yes ", "is ", "x"),
        ('{"right": "yes"} ', "it, a: ", "x"),
    ],
)
def test_no_text_keeps_it_busy(begins: str, inner: str, ends: str) -> None:
    """It is read on the event loop: in a time that grows with the text, and not with its square."""
    text = begins + inner * ((LONGEST - len(begins) - len(ends)) // len(inner)) + ends
    began = time.process_time()
    verdict_of(text)
    assert time.process_time() - began < 1.0
