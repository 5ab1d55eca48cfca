"""Names of people are hidden in whatever script they are written, one by one, and as whoever reads the text would read them."""

from __future__ import annotations

import base64
import re
import unicodedata
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.known_values import KnownValues
from orchestrator.core.personal import Finder, Pseudonyms
from tests.core.yardstick import seconds_of


def knowing(*values: str) -> Pseudonyms:
    names = Pseudonyms(Finder(fields=("patient",)))
    names.learn([{"patient": value} for value in values])
    return names


def left_of(text: str, *values: str) -> str:
    """The text with one sign for each value that is hidden."""
    names = knowing(*values)
    hidden = names.hide(text)
    assert names.restore(hidden).casefold() == text.casefold()
    for number in range(1, 10):
        hidden = hidden.replace(f"[PATIENT_{number}]", "#")
    return hidden


@pytest.mark.parametrize(
    ("value", "text", "left"),
    [
        ("王小明", "王小明 来了", "# 来了"),
        ("王小明", "昨天王小明明明来了", "昨天#明明来了"),
        ("王小明", "王 小明、王・小明", "#、#"),
        ("王明", "找王明吧", "找#吧"),
        ("山田 太郎", "山田太郎さんと山田さん", "#さんと#さん"),
        ("김민준", "오늘 김민준은 왔다", "오늘 #은 왔다"),
        ("สมชาย", "วันนี้สมชายมา", "วันนี้#มา"),
        ("محمد", "جاء محمد اليوم", "جاء # اليوم"),
        ("محمد", "محمدية", "محمدية"),
        ("محمد", "مُحَمَّد هنا", "# هنا"),
        ("王小明", "王\ufe00小明", "#"),
        ("राम", "आज राम आया", "आज # आया"),
        ("משה", "הנה משה", "הנה #"),
        ("王", "王国", "王国"),
        ("مع", "مع", "مع"),
        ("王小明", base64.b64encode("王小明".encode()).decode(), "#"),
        ("王小明", r'a text: {"x": "\u738b\u5c0f\u660e"}', 'a text: {"x": "#"}'),
        ("王小明 (Wang)", "王小明来了", "#来了"),
    ],
)
def test_a_name_in_a_script_without_capitals_is_hidden(value: str, text: str, left: str) -> None:
    """From two letters on where a letter is a syllable, anywhere; from three on as a whole word elsewhere."""
    assert left_of(text, value) == left


@pytest.mark.parametrize(
    ("value", "text", "left"),
    [
        (
            "Annabella Rossini",
            "Signora Rossini (A. Rossini), or: Annabella R., ANNABELLA",
            "Signora # (A. #), or: # R., #",
        ),
        ("ANNABELLA ROSSINI", "Rossini", "#"),
        ("Rossini, Annabella", "Rossini and Annabella", "# and #"),
        ("Dr. Anna Lee", "Lee and Dr. Smith", "# and Dr. Smith"),
        ("Ludwig van Beethoven", "Beethoven, the van", "#, the van"),
        ("Kate O'Brien", "Mrs O'Brien, O\u2019Brien", "Mrs #, #"),
        ("Maria Antonia Esposito Verdi", "Antonia Verdi, Esposito", "# #, #"),
        ("Anna Rossi-Bianchi", "Bianchi", "#"),
        ("Мария Иванова", "Иванова", "#"),
    ],
)
def test_each_name_of_a_person_is_hidden_by_itself(value: str, text: str, left: str) -> None:
    """It is what answers hold most often."""
    assert left_of(text, value) == left


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("Annabella Rossini", "rossini, Rossinis, annabel"),
        ("Not Available", "Not all is Available"),
        ("High Risk", "High prices, Risk"),
        ("New Ticket", "New things, a Ticket"),
        ("Room 12 Rossi", "Room Rossi"),
        ("Called the desk about Refund", "Called, Refund"),
        ("Bo Li", "Bo and Li"),
        ("Signora Rossi", "Signora Verdi"),
        ("Alpha Beta Gamma Delta Epsilon", "Alpha and Delta"),
    ],
)
def test_what_is_no_name_by_itself_stays(value: str, text: str) -> None:
    """States, titles and sentences; other words that hold a name."""
    assert left_of(text, value) == text


@given(
    name=st.sampled_from(["Annabella Rossini", "Łucja Żółć", "王小明"]),
    before=st.integers(0, 120),
    columns=st.sampled_from([8, 10, 16, 64, 75, 76]),
    line=st.sampled_from(["\n", "\r\n", "\n  ", "\n> ", "\\n", "\\r\\n", "\\\\n"]),
)
def test_base64_over_lines_hides_nothing(name: str, before: int, columns: int, line: str) -> None:
    """As mails have it, wherever a line ends."""
    written = base64.b64encode(("the quick brown fox. " * 6)[:before].encode() + f" {name} ".encode()).decode()
    text = line.join(written[at : at + columns] for at in range(0, len(written), columns))
    left = left_of(f"attachment:\n{text}\n\nbye", name)
    assert re.fullmatch(r"attachment:\n#((\\+[rn]|[ \r\n>])*={1,2})?\n\nbye", left), left


@given(before=st.integers(0, 60), pairs=st.sampled_from([5, 16, 38]), between=st.sampled_from(["", " ", ":"]))
def test_hex_over_lines_hides_nothing(before: int, pairs: int, between: str) -> None:
    data = [f"{each:02x}" for each in ("the quick brown fox. " * 4)[:before].encode() + b" Annabella Rossini "]
    text = "\n".join(between.join(data[at : at + pairs]) for at in range(0, len(data), pairs))
    assert left_of(f"dump:\n{text}\n.", "Annabella Rossini") == "dump:\n#\n."


def test_words_on_lines_of_their_own_are_no_base64() -> None:
    text = "Hello\nWorld\nThis\nIs\nPlain\n"
    assert left_of(text, "Annabella Rossini") == text


@pytest.mark.parametrize(
    "block",
    [
        "patient:\n  first: Annabella\n  last: Rossini\n",
        "patient:\n  - name: Annabella\n    other:\n      - 'Rossini'\n",
        "<patient><first>Annabella</first><last>Rossini</last></patient>\n",
        "<patient first=\"Annabella\"><last v='Rossini'/></patient>\n",
        "patient: {first: Annabella, last: Rossini}\n",
        '{"patient": {"first": "Annabella", "last": ["Rossini"]}}\n',
    ],
)
def test_what_stands_in_a_block_is_known_too(block: str) -> None:
    """Each value of YAML, XML and JSON by itself."""
    hidden = knowing().hide(f"{block}\nLater, Rossini came and ANNABELLA too.")
    assert "ossini" not in hidden and "nnabella" not in hidden.casefold()


@pytest.mark.parametrize(
    "written",
    [
        "Ros\u00adsini",
        "Ros\u200bsini",
        "\uff32\uff4f\uff53\uff53\uff49\uff4e\uff49",
        "\u202aRossini\u202c",
        "ROS\u00adSINI",
        "\U0001d411\U0001d428\U0001d42c\U0001d42c\U0001d422\U0001d427\U0001d422",
    ],
)
def test_a_name_is_hidden_as_it_is_read(written: str) -> None:
    """Soft hyphens are not seen, and letters of full width are the same letters."""
    left = left_of(f"é {written}, \ufb01ne", "Rossini")
    assert left.replace("\u202a", "").replace("\u202c", "") == "é #, \ufb01ne"


@pytest.mark.parametrize("value", ["Renée Müller", "김민준", "がぎぐ"])
def test_accents_and_syllables_may_be_signs_of_their_own(value: str) -> None:
    """As the names of files have them on some systems."""
    apart = unicodedata.normalize("NFD", value)
    assert left_of(f"is {apart}.", value) == "is #."
    assert left_of(f"is {value}.", apart) == "is #."


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("4111%201111%201111%201111", "[CARD_1]"),
        ("?card=4111%2D1111%2D1111%2D1111&x=1", "?card=[CARD_1]&x=1"),
        ("call %2B39%20347%20123%204567", "call [PHONE_1]"),
        ("IT60%20X054%202811%201010%200000%200123%20456", "[IBAN_1]"),
        ("100%20 of 4111", "100%20 of 4111"),
    ],
)
def test_a_number_is_found_in_an_address(text: str, seen: str) -> None:
    names = Pseudonyms(Finder())
    assert names.hide(text) == seen
    assert names.restore(names.hide(text)) == text


@pytest.mark.parametrize(
    "piece",
    [
        *(
            "王小",
            "王 ",
            "王小明",
            "\uff21",
            "e\u0301",
            "\u0301",
            "\u1100\u1161",
            "\u00ad",
            "QW5u\n",
            "QW5uYWJl\r\n",
            "41\n",
            "QW=\n",
        ),
        *("Anna ", "\\u738b", "\\n", "\u064b", "a\n\n> ", "%20", "4%20", "ก", "Rossini\n"),
    ],
)
def test_no_text_keeps_it_busy(piece: str) -> None:
    """A text that is four times as long takes about four times as long."""
    took = []
    for size in (20_000, 80_000):
        names = knowing("Anna Rossi", "王小明", "王小", "Annabella Rossini", "山田 太郎")
        text = (piece * size)[:size]
        took.append(seconds_of(partial(names.hide, text)))
    assert took[1] < 10 * max(took[0], 0.02), took


@pytest.mark.parametrize("piece", ["a: b\n", "<a>b", "Anna ", "- ", "a=", "<", "{a: Bob,", "王 ", "a-", "\n"])
def test_no_value_keeps_it_busy(piece: str) -> None:
    """Also where the value itself is long."""
    texts = [(piece * size)[:size] for size in (20_000, 80_000)]
    took = [seconds_of(partial(KnownValues().learn, text, "patient")) for text in texts]
    assert took[1] < 10 * max(took[0], 0.02), took


def test_what_was_learned_goes_on_with_its_parts() -> None:
    """A run that waited hides the same."""
    first, second = KnownValues(), KnownValues()
    for value in ("Annabella Rossini", "王小明", "\uff21\uff4e\uff4e\uff41"):
        first.learn(value, "patient")
    second.goes_on(first.as_json())
    text = "Rossini, 找王小明, Anna"
    assert list(second.found(text)) == list(first.found(text)) and len(set(second.found(text))) == 3


@given(
    text=st.text(
        st.sampled_from("aAé\u0301\u00ad\uff21王小 \u30fb\u1112\u1161\u11ab\ufb01\\u0041\u0130ß\u064b\U0001d411%20\n"),
        max_size=60,
    ),
    values=st.lists(
        st.text(st.sampled_from("aAé\u0301\u00ad\uff21王小 \u1112\u1161\u11ab\ufb01\u0130ß\u064b"), max_size=9),
        max_size=4,
    ),
)
def test_whatever_is_known_and_sent_comes_back(text: str, values: list[str]) -> None:
    """Each place is one of the text, whatever its letters become when they are read. A value is spelled as where its field was
    named, its spaces too."""
    known = KnownValues()
    for value in values:
        known.learn(value, "patient")
    assert all(0 <= begin < end <= len(text) for begin, end, _ in known.found(text))
    names = knowing(*values)
    back = names.restore(names.hide(text))
    assert "".join(back.casefold().split()) == "".join(text.replace("\\u0041", "A").casefold().split())
