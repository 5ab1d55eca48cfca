"""Addresses are found however they are written, and come back as they were written."""

from __future__ import annotations

from html import escape
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.personal import Finder, Pseudonyms


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("john%40host.org", "[EMAIL_1]"),
        ("john%2540host%2Eorg", "[EMAIL_1]"),
        ("john&#64;host.org", "[EMAIL_1]"),
        ("john&#x40;host.org", "[EMAIL_1]"),
        ("john&#64host.org", "[EMAIL_1]"),
        ("john&commat;host&period;org", "[EMAIL_1]"),
        ("john&amp;#64;host.org", "[EMAIL_1]"),
        (r"john\\u0040host.org", "[EMAIL_1]"),
        ('"john doe"@host.org', "[EMAIL_1]"),
        ('John <"john doe"@host.org>, now', "John <[EMAIL_1]>, now"),
        (r'{"m": "to \"john doe\"@host.org now"}', '{"m": "to [EMAIL_1] now"}'),
        (r'"a \"b\" c"@host.org', "[EMAIL_1]"),
        ("\u201cjohn doe\u201d@host.org", "[EMAIL_1]"),
        ("%22john%20doe%22%40host.org", "[EMAIL_1]"),
        ("&lt;&quot;john doe&quot;&#64;host.org&gt;", "&lt;[EMAIL_1]&gt;"),
        ("&lt;john@host.org&gt;", "&lt;[EMAIL_1]&gt;"),
        ("<mailto:john%40host.org?subject=hi>", "<mailto:[EMAIL_1]?subject=hi>"),
        ("john\uff20host\uff0eorg", "[EMAIL_1]"),
        ("john%EF%BC%A0host.org", "[EMAIL_1]"),
        ("anna@m\u00fcnchen.de", "[EMAIL_1]"),
        ("anna@mu\u0308nchen.de", "[EMAIL_1]"),
        ("anna@xn--mnchen-3ya.de", "[EMAIL_1]"),
        ("用户@例え。テスト です", "[EMAIL_1] です"),
        ("संपर्क@डाटामेल.भारत, ok", "[EMAIL_1], ok"),
        ("a@x.org。谢谢", "[EMAIL_1]。谢谢"),
        ("o'brien@host.org", "[EMAIL_1]"),
        ("joe@[192.168.1.1] x", "[EMAIL_1] x"),
        ("joe@[IPv6:2001:db8::1]", "[EMAIL_1]"),
        ("a@b@c.org", "[EMAIL_1]"),
        (f"{'x' * 100}@host.org", "[EMAIL_1]"),
        (f"a@{'host.' * 12}org", "[EMAIL_1]"),
        ("an\u200bna@ho\u00adst.org", "[EMAIL_1]"),
    ],
)
def test_each_way_to_write_one(text: str, seen: str) -> None:
    names = Pseudonyms(Finder(kinds=("email",)))
    assert names.hide(text) == seen
    assert names.restore(seen) == text.replace(r"\\u0040", "@")  # escapes of JSON are read before anything else


@pytest.mark.parametrize(
    "text",
    [
        "100%20of %40home, 50% off",
        "a &copy; b &amp; c, R&D",
        "at @anna, &#64;anna",
        'she said "hello" @ noon',
        r"C:\new\table\1",
        "it's 5 o'clock",
    ],
)
def test_what_is_none_stays(text: str) -> None:
    assert Pseudonyms(Finder()).hide(text) == text


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("IT60%20X054%202811%201010%200000%200123%20456", "[IBAN_1]"),
        ("IT60&nbsp;X054&nbsp;2811&nbsp;1010&nbsp;0000&nbsp;0123&nbsp;456", "[IBAN_1]"),
        ("&#73;T60 X054 2811 1010 0000 0123 456", "[IBAN_1]"),
        ("+39&nbsp;347&nbsp;123&nbsp;4567", "[PHONE_1]"),
        ("%2B39%20347%20123%204567", "[PHONE_1]"),
        ("&#43;39&#160;347&#160;123&#160;4567", "[PHONE_1]"),
        ("&plus;39 347 123 4567", "[PHONE_1]"),
        ("347&nbsp;123&nbsp;4567", "[PHONE_1]"),
        (r"+39\n347\n123\n4567", "[PHONE_1]"),
    ],
)
def test_accounts_and_telephones_are_found_in_the_same_codes(text: str, seen: str) -> None:
    names = Pseudonyms(Finder())
    assert names.hide(text) == seen
    assert names.restore(seen) == text


_VALUES = st.sampled_from(
    [
        '"john doe"@host.org',
        "anna@host.org",
        "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1",
        "+39 347 123 4567",
        "GB82 WEST 1234 5698 7654 32",
    ]
)
_CODES = st.sampled_from(
    [
        str,
        escape,
        quote,
        lambda value: quote(quote(value, safe=""), safe=""),
        lambda value: "".join(f"&#{ord(sign)};" for sign in value),
        lambda value: "".join(f"%{ord(sign):02X}" for sign in value),
        lambda value: value.replace("@", "&commat;").replace(" ", "&nbsp;"),
    ]
)
_AROUND = st.sampled_from(["", " ", "see ", ", ", "\n", "<", ">", "è ", "%", "&", "&amp; ", "%20", "[EMAIL_1] ", "\\"])


@given(st.lists(st.tuples(_AROUND, _VALUES, _CODES, _AROUND), max_size=4))
def test_what_is_hidden_comes_back_as_it_was_written(pieces: list[tuple[str, str, object, str]]) -> None:
    """In any codes, side by side, in any words; and to hide it twice changes nothing."""
    text = "".join(before + code(value) + behind for before, value, code, behind in pieces)  # type: ignore[operator]  # a strategy of functions
    names = Pseudonyms(Finder())
    hidden = names.hide(text)
    assert names.restore(hidden) == text
    assert names.hide(text) == hidden


@given(_VALUES, _CODES)
def test_no_code_keeps_one_from_being_found(value: str, code: object) -> None:
    names = Pseudonyms(Finder())
    assert names.hide(f"see {code(value)}, please") in {  # type: ignore[operator]  # a strategy of functions
        f"see [{kind}_1], please" for kind in ("EMAIL", "CARD", "PHONE", "IBAN")
    }
