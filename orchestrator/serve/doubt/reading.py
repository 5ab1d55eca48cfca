"""What a model says that was asked for yes or no, in whichever form it says it. Pure.

It is asked for ``{"right": "yes"}``. Where its server holds it to no schema it says the same in other words, as JSON of another
shape, as a line of YAML or Markdown, or as prose. The two verdicts are not read alike: a no is a no wherever it is found, and a
yes is one only where nothing stands beside it, or words of a closed list that say the same or nothing. No list can hold all that
speaks against an answer. What is neither is not decided.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Any, Final

from orchestrator.core.surrogates import whole
from orchestrator.core.thoughts import without_thoughts

TWICE: Final = "twice"
"""A verdict that stands there more than once, and is not no each time."""
_UNCLEAR: Final = "unclear"
"""What stands beside a verdict and is not known to say the same: with it a yes is not decided."""
LONGEST: Final = 20_000
"""Characters that are read; a verdict is two words."""

_TOKENS: Final = re.compile(r"<\|[^|<>\s]{1,40}\|>|<(?:end|start)_of_turn>")
"""What ends a model's turn, where its server shows it."""
_TAGGED: Final = re.compile(r"<(\w{1,30})>([^<>]{0,400})</\1>")
_SIGNS: Final = re.compile(r"[*_`#>{}\[\]\"“”„«»]+")
_CROSSES: Final = re.compile("[\u2716-\u2718\u274c\u274e\U0001f44e]")
"""How a no is drawn."""
_PIECES: Final = re.compile(r"\n|[,;|]\s*(?=[\w ]{1,30}\s*[:=])")
_KEYED: Final = re.compile("\\W{0,9}(\\w[\\w '\u2019]{0,50}?)\\s*(?::|=>?|\\s[-\u2013\u2014])\\s*(.{0,400})\\Z")
_WORD: Final = re.compile(r"-?\d+(?:[.,]\d+)?|\w+")
_NUMBER: Final = re.compile("([-\u2212]?\\d{1,9}(?:[.,]\\d{1,9})?)\\s*(%|/\\s*\\d{1,4}(?:[.,]\\d{1,9})?)?\\W{0,3}")
_NOT: Final = re.compile("n['\u2019]t\\b", re.IGNORECASE)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_VERDICT: Final = _words(
    "right correct valid true ok accurate acceptable pass passed giusto giusta corretto corretta vero valido richtig korrekt"
    " wahr correcte juste vrai correcto correcta verdad valida"
)
_JUDGMENT: Final = _words(
    "verdict judgment judgement evaluation assessment decision verdetto giudizio urteil bewertung jugement veredicto juicio"
)
"""Names under which a verdict stands, in English, Italian, German, French and Spanish."""
_AGAINST: Final = _words(
    "wrong incorrect invalid false error errors mistake mistakes sbagliato errato falso errore falsch fehler faux erreur"
    " incorrecte incorrecto equivocado issue issues problem problems flaw flaws fault faults incomplete misleading outdated missing"
)
"""Names under which a yes is a no; a no under them says too little to be a yes."""
_LOOSE: Final = _words(
    "answer response result reply score rating value output final risposta risultato punteggio antwort ergebnis reponse"
    " resultat respuesta resultado puntuacion"
)
"""Names that may be of something else; they count where no other name does."""
_REASONS: Final = _words(
    "reason reasons reasoning explanation why comment comments rationale note notes analysis thought thoughts"
    " motivo motivazione spiegazione grund begruendung begrundung erklarung raison explication razon explicacion"
)
"""Names of what is said about it."""
_CONFIDENCE: Final = _words("confidence confidenza fiducia konfidenz confiance confianza")
"""Names of how sure it is, in numbers that are no verdict."""
_ECHOES: Final = _words("request question prompt input query")
"""Names of what it was asked, where they stand alone."""

_YES: Final = _words("yes yep yeah si ja oui")
_YES_ALONE: Final = _YES | _words(
    "y true right correct accurate valid ok vero giusto giusta corretto corretta esatto esatta wahr richtig korrekt stimmt"
    " vrai juste correcte exact exacte correcto correcta verdad verdadero verdadera cierto"
)
_FILLERS: Final = _words(
    "it is s this that the answer a indeed absolutely completely fully la risposta e del tutto die antwort ist das es est"
    " reponse c cette l respuesta esta es verdict final and it answers request does question complete fits meets correctly"
    " completa risponde alla domanda richiesta und beantwortet frage anfrage vollstandig et repond demande complete y responde"
    " pregunta solicitud response reply definitely perfectly exactly fully correttamente sie elle"
)
"""What may stand around one of these."""
_COURTESY: Final = _words(
    "here you are i hope this helps my json output result response as requested evaluation thank thanks"
)
"""What else may stand around a verdict that is JSON: it says nothing."""
_DRAWN: Final = "\u2705\u2611\u2713\u2714\u2728\U0001f44d\U0001f44c\U0001f4af\U0001f389"
"""How a yes is drawn; another drawing beside one may be a warning."""
_NO_ALONE: Final = _words("n f ko fail failed")
_NO: Final = _words(
    "no nope nah not non none never neither nor cannot without nein nicht nichts kein keine keinen keiner keineswegs nie ne"
    " pas jamais aucun aucune nunca tampoco ningun ninguna nessun nessuno nessuna mai neanche senza ohne sans sin nao niet nee geen"
)
_NO_BEGINS: Final = (
    *(
        "wrong",
        "incorrect",
        "incorrett",
        "scorrett",
        "sbagl",
        "errat",
        "erron",
        "error",
        "errore",
        "mistak",
        "inaccurat",
    ),
    *(
        "inesatt",
        "inexact",
        "unkorrekt",
        "unrichtig",
        "inkorrekt",
        "invalid",
        "untrue",
        "fals",
        "faux",
        "fauss",
        "fehler",
    ),
    *("ungult", "irrt", "equivoc", "refut", "reject", "disagree", "deny", "denied", "contradict", "hallucin", "lack"),
    *("missing", "fail", "unable", "irrelevant", "untreff", "unzutreff", "manca", "fehlt", "manque", "falta"),
)
_UNSURE: Final = _words(
    "maybe perhaps unsure sure certain uncertain unclear unknown know tell possibly probably likely depends idk na forse"
    " sicuro so dipende vielleicht sicher weiss wahrscheinlich moglich peut etre sais sur incertain quizas quiza tal vez seguro"
    " se probablemente probabilmente but however although though except only partly partially partial mostly almost nearly"
    " half barely hardly somewhat if unless ma pero tuttavia parzialmente quasi meta aber jedoch nur teilweise fast mais"
    " cependant partiellement presque sino parcialmente casi"
)
"""With one of these beside it a yes is none, and with one that says so a no is not decided."""
_DO_NOT_KNOW: Final = re.compile(
    r"\b(not (sure|certain|clear|known)|(do not|can ?not|could not) (know|tell|say|judge|decide|determine)"
    r"|no idea|non (lo )?so|non sono sicur|weiss (es )?nicht|nicht sicher|sais pas|pas sur|no (lo )?se|no estoy segur)\b"
)


class _Object(list[tuple[str, Any]]):
    """An object with all that stands under each of its names, also where a name stands there twice."""


def verdict_of(text: str) -> str:
    """``yes``, ``no``, ``TWICE``, or an empty text where it is not decided."""
    text = _TOKENS.sub(" ", without_thoughts(whole(text[:LONGEST]), " ")).strip()
    value, beside = _json_in(text)
    if isinstance(value, (_Object, list)) and (told := list(_told(value))):
        return _judged([*told, *_beside(beside)])
    if isinstance(value, bool) or value == 0:
        return _of_value(value, named=False)
    return _of_text(str(value) if isinstance(value, str) else text)


def _json_in(text: str) -> tuple[Any, str]:
    """The JSON that it is or holds, ``None`` where it is or holds none, and what stands around that."""
    begin, end = text.find("{"), text.rfind("}") + 1
    inner = (text[begin:end], text[:begin] + text[end:]) if 0 <= begin < end else ("", "")
    for part, beside in ((text, ""), inner, (text.strip("`").removeprefix("json"), "")):
        try:
            return json.loads(part, strict=False, object_pairs_hook=_Object), beside
        except (ValueError, RecursionError):
            continue
    return None, ""


Told = tuple[str, str]
"""Under what kind of name something stands (``verdict``, ``loose``, ``expected``, ``other``), and what it says."""


def _told(value: Any, kind: str = "other", depth: int = 0) -> Iterator[Told]:
    """What stands in a value of JSON; of reasons only a plain no."""
    if depth > 20:
        yield "other", _UNCLEAR
        return
    if isinstance(value, _Object):
        for name, each in value:
            own = _kind_of(name)
            if own in ("reason", "confidence"):
                if _plainly_no(each) and own == "reason":
                    yield "other", "no"
                continue
            yield from _told(each, kind if own == "other" else own, depth + 1)
    elif isinstance(value, list):
        for each in value:
            yield from _told(each, kind if depth else "verdict", depth + 1)
    else:
        said = _of_value(value, named=kind == "verdict") or _hedge(value)
        yield ("verdict", _turned(said)) if kind == "against" else (kind, said)


def _plainly_no(value: Any, depth: int = 0) -> bool:
    """Whether it, or something in it, says nothing but no, so that it is no reason, whatever its name is."""
    if isinstance(value, (_Object, list)):
        named = value if isinstance(value, _Object) else [("", each) for each in value]
        inner = [each for name, each in named if _kind_of(name) != "confidence"]
        return depth > 20 or any(_plainly_no(each, depth + 1) for each in inner)
    if isinstance(value, str):
        return len(_WORD.findall(value)) <= 1 and _of_value(value, named=False) == "no"
    return isinstance(value, (bool, int, float)) and not value


def _hedge(value: Any) -> str:
    """Of a few words that take a verdict back in part ("partly", "mostly"): that it is not clear."""
    words = _WORD.findall(_plain(value)) if isinstance(value, str) else []
    return _UNCLEAR if 0 < len(words) <= 4 and not _UNSURE.isdisjoint(words) else ""


def _beside(text: str) -> Iterator[Told]:
    """What stands around a verdict that is JSON, reasons left out."""
    for piece in _PIECES.split(_spaced(_SIGNS.sub(" ", text))):
        keyed = _KEYED.match(piece)
        if keyed is None or _kind_of(keyed[1]) not in ("reason", "confidence"):
            yield "other", "no" if _denied(piece) else "" if _quiet(piece, _COURTESY) else _UNCLEAR


def _turned(said: str) -> str:
    return "no" if said in ("yes", TWICE) else ""


def _judged(told: Sequence[Told]) -> str:
    """Those under the name of a verdict, else those under another that may be one, else a single one that says no."""
    others = [said for kind, said in told if kind == "other"]
    around = {said for kind, said in told if kind != "verdict"}
    for kind in ("verdict", "loose"):
        if found := [said for each, said in told if each == kind]:
            said = _together(found)
            return said if said != "yes" else TWICE if "no" in around else "" if _UNCLEAR in around else said
    return "no" if [said for said in others if said] == ["no"] else ""


def _together(said: Sequence[str]) -> str:
    if len(said) == 1:
        return said[0].replace(_UNCLEAR, "")
    return "no" if set(said) == {"no"} else TWICE


def _kind_of(name: str) -> str:
    """A name may be of several words; one that turns the meaning goes first."""
    words = _WORD.findall(_plain(re.sub(r"([a-z])([A-Z])", r"\1 \2", name).replace("_", " ")))
    if not _CONFIDENCE.isdisjoint(words):
        return "confidence"
    if any(word in _REASONS for word in words) or (len(words) == 1 and words[0] in _ECHOES):
        return "reason"
    if any(word in _AGAINST or word in _NO for word in words):
        return "against"
    if any(word in _JUDGMENT for word in words):
        return "verdict"
    named, loose = (any(word in names for word in words) for names in (_VERDICT, _LOOSE))
    if named and loose:  # "the correct answer" is what should have been said
        return "expected"
    return "verdict" if named else "loose" if loose else "other"


def _of_value(value: Any, *, named: bool) -> str:
    if isinstance(value, str):
        return _of_number(value, named=named) or _of_text(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else _of_number(str(value), named=named)


def _of_number(text: str, *, named: bool) -> str:
    """0, what is less, and a share below one half are a no. One is a yes under its name alone; what a larger number is of, nobody
    knows."""
    match = _NUMBER.fullmatch(text.strip())
    if match is None:
        return ""
    number = float(match[1].replace(",", ".").replace("\u2212", "-"))
    if match[2] is None and number == 1:
        return "yes" if named else ""
    of = 1.0 if match[2] is None else 100.0 if match[2] == "%" else float(match[2].strip("/ ").replace(",", ".")) or 1.0
    return "no" if number / of < 0.5 else ""


def _of_text(text: str) -> str:
    """Of lines with a name before what they say, what stands under the names; else what it says as a whole."""
    text = _spaced(_SIGNS.sub(" ", _TAGGED.sub(r"\n\1: \2\n", text)))
    text = text.rpartition("?")[2] if text.rpartition("?")[2].strip() else text  # it repeats what it was asked
    if "?" in text and not _denied(text):
        return ""  # it asks
    told = []
    for piece in _PIECES.split(text):
        keyed = _KEYED.match(piece)
        kind = _kind_of(keyed[1]) if keyed is not None and keyed[2].strip() else "other"
        if keyed is None or kind == "other":
            told.append(("other", "no" if _denied(piece) else "" if _quiet(piece) else _UNCLEAR))
        elif kind == "against" and not _NO.isdisjoint(_WORD.findall(_plain(keyed[1]))):
            told.append(("verdict", "no"))  # "No - it is another one"
        elif kind not in ("reason", "confidence"):
            said = _of_number(keyed[2], named=kind == "verdict") or _of_words(keyed[2])
            told.append(("verdict", _turned(said)) if kind == "against" else (kind, said))
    named = any(kind != "other" for kind, _ in told)
    return _judged(told) if named else _of_number(text, named=False) or _of_words(text)


def _spaced(text: str) -> str:
    """Each line with one space where there were many: a search that may begin and end anywhere among them takes their square."""
    return "\n".join(" ".join(line.split()) for line in text.split("\n"))


def _of_words(text: str) -> str:
    plain = _plain(_NOT.sub(" not", text))
    words = _WORD.findall(plain)
    if not words or _DO_NOT_KNOW.search(" ".join(words)):
        return ""
    if any(map(_denies, words)) or (len(words) == 1 and words[0] in _NO_ALONE):
        return "" if words[0] in _YES and len(words) > 1 else "no"  # "yes and no"
    if any(word in _UNSURE for word in words):
        return ""
    return "yes" if _affirms(words) and not _drawn(text) else ""


def _affirms(words: Sequence[str]) -> bool:
    """It says that it is right, and nothing more."""
    return not _YES_ALONE.isdisjoint(words) and all(word in _FILLERS or word in _YES_ALONE for word in words)


def _quiet(text: str, more: frozenset[str] = frozenset()) -> bool:
    """Whether it says nothing, or the same as a yes."""
    words = _WORD.findall(_plain(text))
    return not _drawn(text) and all(word in _FILLERS or word in _YES_ALONE or word in more for word in words)


def _drawn(text: str) -> bool:
    """Whether something is drawn in it that is no yes."""
    return not text.isascii() and any(unicodedata.category(sign) == "So" and sign not in _DRAWN for sign in text)


def _denied(text: str) -> bool:
    return any(map(_denies, _WORD.findall(_plain(_NOT.sub(" not", text)))))


def _denies(word: str) -> bool:
    return word in _NO or word.startswith(_NO_BEGINS)


def _plain(text: str) -> str:
    """Without capitals and accents."""
    parts = unicodedata.normalize("NFKD", _CROSSES.sub(" no ", text).casefold())
    return "".join(sign for sign in parts if not unicodedata.combining(sign))
