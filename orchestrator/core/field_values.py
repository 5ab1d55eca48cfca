"""Where the values of a named field are in a text: in JSON (escaped too), in lines like ``name: value``, in YAML, in XML.

A text is not parsed, as what comes is rarely one whole document. Coarse on purpose: too much is taken rather than too little, as
what is taken is put back in the answer. Where it cannot be told how far a value goes, nothing of the text may be sent.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from orchestrator.core.quotes import QUOTES, end_of_quoted, opening, straight


class CannotRedact(ValueError):
    """The text may not be sent: something in it must be refused, or could not be looked at whole. Says which, never what."""


def values_of(field: str, text: str) -> Iterator[tuple[int, int]]:
    """Of ``"field": …``, ``field: …``, ``field = …`` and ``<field>…</field>``: where each value begins and ends. Raises
    ``CannotRedact`` where one has no end."""
    if re.search(_name(field), text, re.IGNORECASE) is None:
        return
    yield from _assigned(field, text)
    yield from _elements(field, text)


_TOKENS: Final = re.compile(r"(?<!\\)(?P<slashes>\\*)(?P<quote>[\"'])|[{}\[\]()]")
"""Quotes, with as many backslashes as JSON within JSON gives them, and brackets."""
_IS: Final = ":=\uff1a\uff1d"
"""Also of full width."""
_BLANK: Final = " \t\r\u00a0\u2009\u200a\u200b\u202f\u3000\ufeff"
"""Within a line, of whatever width."""
_PLAIN: Final = re.compile(r"(?:[^\n,;{}\[\]\"']|[\"'](?![ \t]*(?:[\n,;:}\])]|$)))+")
"""Up to the end of the line, a comma, a bracket, or a quote that ends a text around it: none within a name as O'Neil."""
_BLOCK: Final = re.compile(r"(?:[!&]\S*[ \t]+)*[|>][-+\d]{0,2}[ \t\r]*(?:#[^\n]*)?")
"""What YAML writes before a text of several lines."""
_LONGEST_ASIDE: Final = 1_000
"""Characters of a value in round brackets; in prose one may never be closed."""
_DEEPER: Final = re.compile(r"[ \t]*(?:- +)*")


def _name(field: str) -> str:
    """Its letters, those that are not ASCII also as JSON may escape them."""
    letters = (re.escape(each) if each.isascii() else rf"(?:{re.escape(each)}|{_escaped(each)})" for each in field)
    return "".join(letters)


def _escaped(letter: str) -> str:
    code = letter.encode("utf-16-be").hex()
    return "".join(rf"\\+u{code[at : at + 4]}" for at in range(0, len(code), 4))


@lru_cache(maxsize=256)
def _key(field: str) -> re.Pattern[str]:
    """The field where something is said of it; quotes and what makes it bold may stand around it."""
    return re.compile(rf"(?i)(?<!\w){_name(field)}\s?[\"'*_\\{QUOTES}]{{0,12}}\s*[{_IS}]>?")


def _assigned(field: str, text: str) -> Iterator[tuple[int, int]]:
    at = 0
    while (found := _key(field).search(text, at)) is not None:
        start, end, at = _value(field, text, found)
        if end > start:
            yield start, end


def _value(field: str, text: str, key: re.Match[str]) -> tuple[int, int, int]:
    """Where the value begins and ends, and where to look further."""
    at = _behind(text, key.end(), _BLANK)
    if _ends_line(text, at):
        return _below(field, text, key.start(), at)
    written = _BLOCK.match(text, at)
    if written is not None and _ends_line(text, written.end()):
        end = _end_of_block(text, key.start(), written.end())
        if end is None and text[written.end() :].strip():
            raise _endless(field)
        return at, end or written.end(), end or written.end()
    start, end, after = _flow(field, text, at)
    if start == at and text[at] not in "{[(" and _ends_line(text, _behind(text, end, " \t\r")):
        end = after = _end_of_block(text, key.start(), end) or end  # it goes on below, further to the right
    return start, end, after


def _below(field: str, text: str, key: int, line: int) -> tuple[int, int, int]:
    """The same of a value that begins on a line below."""
    block = _end_of_block(text, key, line, listed=True)
    at = _behind(text, line, _BLANK + "\n")
    if at == len(text):
        return at, at, at
    if block is None:
        return _flow(field, text, at)
    end = max(block, _flow(field, text, at)[2]) if text[at] in "{[(\"'\\" or opening(text, at) else block
    return at, end, end


def _flow(field: str, text: str, at: int) -> tuple[int, int, int]:
    """A value that shows its end itself: a text in quotes (what is between them), something in brackets, or a few words."""
    if opened := opening(text, at):
        start = at + len(opened)
        end = end_of_quoted(text, start, opened)
        if end is None:
            raise _endless(field)
        return start, end, end + len(opened)
    quoted = _TOKENS.match(text, at)
    if quoted is not None and quoted["quote"]:
        closing = _closing(field, text, quoted)
        while (more := _TOKENS.match(text, closing.end())) is not None and _closes(more, quoted):
            closing = _closing(field, text, more)  # a quote that is written twice, or three for a long text
        return quoted.end(), closing.start(), closing.end()
    if text[at] in "{[(":
        most = at + _LONGEST_ASIDE if text[at] == "(" else len(text)
        end = _end_of_brackets(text, at, most)
        if end is not None and straight(text) is not text:  # a bracket within typographic quotes may be none
            end = max(end, _end_of_brackets(straight(text), at, most) or 0)
        if end is not None:
            return at, end, end
        if text[at] != "(":
            raise _endless(field)
    plain = _PLAIN.match(text, at)
    end = at + len(plain[0].rstrip()) if plain is not None else at
    return at, end, max(end, at)


def _closing(field: str, text: str, opened: re.Match[str]) -> re.Match[str]:
    """The quote that ends the text which this one begins."""
    closing = next((each for each in _TOKENS.finditer(text, opened.end()) if _closes(each, opened)), None)
    if closing is None:
        raise _endless(field)
    return closing


def _closes(token: re.Match[str], opened: re.Match[str]) -> bool:
    """Whether it ends the text that the other began: the same quote, as often escaped. Backslashes that are the end of that text
    may stand before it, each of them written as twice as many as JSON needs for this quote and its own."""
    escaped = len(opened["slashes"])
    before = len(token["slashes"] or "") - escaped
    return token["quote"] == opened["quote"] and before >= 0 and before % (2 * (escaped + 1)) == 0


def _end_of_brackets(text: str, at: int, most: int) -> int | None:
    """Behind the bracket that closes the one at this place, past those in texts; ``None`` where none does before ``most``."""
    depth, opened = 0, None
    for token in _TOKENS.finditer(text, at, most):
        if opened is not None:
            opened = None if _closes(token, opened) else opened
        elif token["quote"]:
            within_word = token["quote"] == "'" and text[token.start() - 1].isalnum()
            opened = None if within_word else token
        else:
            depth += 1 if token[0] in "{[(" else -1
            if depth == 0:
                return token.end()
    return None


def _end_of_block(text: str, key: int, line: int, *, listed: bool = False) -> int | None:
    """The end of the lines behind this one that stand further to the right than what the key belongs to, or are items of a list
    at it, where they may be; ``None`` where there are none."""
    indent, end, at = _indent(text, key), None, _end_of_line(text, line)
    while at < len(text):
        start, at = at + 1, _end_of_line(text, at + 1)
        content = _behind(text, start, " \t\r")
        if content >= at:
            continue
        item = listed and content - start == indent and text.startswith("- ", content)
        if content - start <= indent and not item:
            break
        end = at
    return None if end is None else line + len(text[line:end].rstrip())


def _indent(text: str, key: int) -> int:
    """How far to the right what a key belongs to stands: the key itself, in a list behind its dash, or its line."""
    start = text.rfind("\n", 0, key) + 1
    led = _DEEPER.match(text, start, key)
    led_to = led.end() if led is not None else start
    if not text[led_to:key].strip("\"'\\"):
        return led_to - start
    return _behind(text, start, " \t") - start


def _ends_line(text: str, at: int) -> bool:
    return at >= len(text) or text[at] == "\n"


def _end_of_line(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end


def _behind(text: str, at: int, letters: str) -> int:
    while at < len(text) and text[at] in letters:
        at += 1
    return at


@lru_cache(maxsize=256)
def _tag(field: str) -> re.Pattern[str]:
    """The beginning of a tag, its end too where that is plain; of any name space, and as HTML escapes it."""
    attributes = r"(?P<with>(?:\s(?:[^<>\"']|\"[^\"]*\"|'[^']*')*?)?)"
    begins = rf"(?i)(?:<|&lt;)(?P<closes>/?)(?:[\w.-]{{1,64}}:)?{_name(field)}(?![\w.:-])"
    return re.compile(rf"{begins}(?P<whole>{attributes}(?P<empty>/?)(?:>|&gt;))?")


def _elements(field: str, text: str) -> Iterator[tuple[int, int]]:
    """Of XML: what is between the tags, and the attributes."""
    opened: list[int] = []
    for tag in _tag(field).finditer(text):
        if tag["whole"] is None or (tag["closes"] and not opened):
            raise _endless(field)
        if tag["closes"]:
            start = opened.pop()
            if not opened and tag.start() > start:
                yield start, tag.start()
            continue
        if not opened and tag["with"].strip():
            yield tag.span("with")
        if not tag["empty"]:
            opened.append(tag.end())
    if opened:
        raise _endless(field)


def _endless(field: str) -> CannotRedact:
    return CannotRedact(f"how far the value of the field {field} goes cannot be told")
