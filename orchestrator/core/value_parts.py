"""What else is told by the value of a named field: the names of a person one by one, and the values that stand in a block of it."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator
from typing import Any, Final

from orchestrator.core.unspaced import letters_of

FEWEST: Final = 3
"""Letters of a name that is looked for by itself."""
FEWEST_IN_THE_MIDDLE: Final = 5
"""The same of one between the first and the last."""
MOST_NAMES: Final = 4
LONGEST: Final = 80
"""Characters of what may be the names of one person."""
MOST_LEAVES: Final = 500
"""Values of one block."""
LONGEST_BLOCK: Final = 100_000

_PARTICLES: Final = frozenset(
    "de di da do dos das del della dello delle dei degli d la le lo du des van von der den dem ten ter zu zum zur af av el al bin"
    " ben ibn abu y e i und and et of the jr sr phd md esq".split()
)
"""Small words within names, and behind them."""
_COMMON: Final = frozenset(
    "the not and for with from this that these those all any some none other another new old yes first second third last next"
    " general open closed close done pending active inactive available unavailable unknown missing normal high low medium"
    " urgent critical positive negative true false male female single married left right north south east west city street"
    " road avenue square house room floor unit team group department office company bank hospital clinic school university"
    " patient customer client doctor nurse user name order case ticket request answer account type class level risk status"
    " good bad great small large big long short early late today tomorrow yesterday morning evening night day week month year"
    " monday tuesday wednesday thursday friday saturday sunday january february march april may june july august september"
    " october november december mister mrs miss prof professor sir lady dame captain sergeant father mother sister brother"
    " ltd inc llc corp gmbh srl spa sarl plc"
    " non nuovo nuova vecchio alto alta basso bassa medio media urgente normale aperto aperta chiuso chiusa attivo attiva"
    " disponibile sconosciuto nessuno nessuna altro altra primo prima secondo seconda ultimo via viale piazza corso signor"
    " signore signora dott dottore dottoressa ing avv rag paziente cliente santa san"
    " nicht neu neue alt hoch niedrig mittel dringend offen geschlossen aktiv keine kein erste zweite letzte herr frau doktor"
    " strasse platz patientin kunde kundin"
    " monsieur madame mademoiselle nouveau nouvelle ancien ouvert ferme actif aucun aucune premier premiere dernier rue place"
    " don dona senor senora senorita nuevo nueva viejo abierto cerrado activo ninguno primero ultima calle plaza".split()
)
"""Words that begin most sentences, states and titles: hidden by themselves they would take the sense from a text."""
_KEYED: Final = re.compile(r"[ \t]*(?:- +)*[\"']?[\w .-]{1,64}[\"']?[ \t]*[:=](?:[ \t]+|\Z)")
_ITEM: Final = re.compile(r"[ \t]*(?:- +)+")
_TAG: Final = re.compile(r"<[^<>]{0,1000}>")
_ATTRIBUTE: Final = re.compile(r"=\s?\"([^\"<>]{1,200})\"|=\s?'([^'<>]{1,200})'")
_FLOW: Final = re.compile(r"[{}\[\],\n]")
_LEAVES_OUT: Final = " \t\r\"'`"


def names_in(value: str) -> Iterator[str]:
    """Of a value that reads as the names of a person (one to four words with capital letters, or of letters that have none, and
    perhaps particles; no digits) those that are looked for by themselves."""
    words = value.split() if len(value) <= LONGEST else []
    if not 2 <= len(words) <= 2 * MOST_NAMES or any(map(str.isdigit, value)):
        return
    named = [bare for word in words if (bare := _bare(word)) and bare.casefold() not in _PARTICLES]
    if not 1 <= len(named) <= MOST_NAMES or not all(map(_as_a_name, named)):
        return
    own = [name for name in named if _letters(name) and unaccented(name) not in _COMMON]
    for at, name in enumerate(own):
        size = _letters(name)
        if letters_of(name) or size >= (FEWEST if at in (0, len(own) - 1) else FEWEST_IN_THE_MIDDLE):
            yield name
        for part in name.split("-") if "-" in name else ():
            if len(part) >= FEWEST_IN_THE_MIDDLE:
                yield part


def leaves_in(value: str) -> Iterator[str]:
    """The values in one that is JSON, YAML or XML; of a plain one none."""
    if value[:1] in ("{", "["):
        try:
            yield from _leaves(json.loads(value))
        except (ValueError, RecursionError):
            yield from _of_lines(_FLOW.split(value[:LONGEST_BLOCK]))
    elif "<" in value and ">" in value:
        yield from _of_elements(value[:LONGEST_BLOCK])
    elif attributes := _ATTRIBUTE.findall(value[:LONGEST_BLOCK]):
        yield from ("".join(found) for found in attributes[:MOST_LEAVES])
    elif "\n" in value:
        yield from _of_lines(value[:LONGEST_BLOCK].split("\n"))


def _of_lines(lines: list[str]) -> Iterator[str]:
    for line in lines[:MOST_LEAVES]:
        led = _KEYED.match(line) or _ITEM.match(line)
        leaf = line[led.end() if led else 0 :].strip(_LEAVES_OUT)
        if leaf:
            yield leaf


def _of_elements(value: str) -> Iterator[str]:
    texts = (text for text in _TAG.split(value))
    attributes = (found[1] or found[2] for tag in _TAG.finditer(value) for found in _ATTRIBUTE.finditer(tag[0]))
    for count, leaf in enumerate(each.strip() for several in (texts, attributes) for each in several):
        if count >= 2 * MOST_LEAVES:
            return
        if leaf:
            yield leaf


def _bare(word: str) -> str:
    """Without the signs around it."""
    letters = [at for at, letter in enumerate(word) if letter.isalpha()]
    return word[letters[0] : letters[-1] + 1] if letters else ""


def _as_a_name(word: str) -> bool:
    return word[0] != word[0].lower() or without_case(word)


def without_case(text: str) -> bool:
    """Whether it holds a letter of a script that has no capital letters."""
    return not text.isascii() and any(unicodedata.category(letter) == "Lo" for letter in text)


def _letters(word: str) -> int:
    return sum(unicodedata.category(letter)[0] in "LM" for letter in word)


def unaccented(word: str) -> str:
    """In small letters without accents."""
    return "".join(letter for letter in unicodedata.normalize("NFKD", word.casefold()) if letter.isalpha())


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for each in value.values():
            yield from _leaves(each)
    elif isinstance(value, list):
        for each in value:
            yield from _leaves(each)
    elif isinstance(value, str):
        yield value
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield json.dumps(value)
