"""Templates: values stay values, the sandbox holds, and no template takes long or grows large."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.errors import DeployError, LimitReached, OrchestratorError, RunError
from orchestrator.core.template import DEEPEST, DEEPEST_BLOCKS, FILTERS, TemplateFault, is_plain, read_template
from orchestrator.deploy.template import compile_template
from orchestrator.deploy.template_budget import LARGEST_TEXT
from orchestrator.deploy.template_sandbox import open_sandbox

ATTACKS = [
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ ''['__class__'] }}",
    "{{ ''|attr('__class__') }}",
    "{{ ''['__cla' ~ 'ss__'] }}",
    "{{ ().__class__.__bases__[0].__subclasses__()[40]('/etc/passwd').read() }}",
    "{{ [].__class__.__base__.__subclasses__() }}",
    "{{ {}.__class__.__mro__ }}",
    "{{ config }}",
    "{{ config.items() }}",
    "{{ self }}",
    "{{ self.__init__.__globals__ }}",
    "{{ self._TemplateReference__context.cycler.__init__.__globals__.os.popen('id').read() }}",
    "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "{{ joiner.__init__.__globals__.os }}",
    "{{ namespace.__init__.__globals__.os }}",
    "{{ lipsum.__globals__['os'].popen('id').read() }}",
    "{{ lipsum.__globals__ }}",
    "{{ request.application.__globals__.__builtins__.__import__('os') }}",
    "{{ request['application']['__globals__'] }}",
    "{{ url_for.__globals__['current_app'].config }}",
    "{{ get_flashed_messages.__globals__ }}",
    "{{ g.pop.__globals__ }}",
    "{{ range.__class__ }}",
    "{{ range(1).__class__ }}",
    "{{ dict.__base__ }}",
    "{{ dict.mro() }}",
    "{{ text.format(text) }}",
    "{{ '{0.__class__}'.format(text) }}",
    "{{ '{0.__class__}'|format(text) }}",
    "{{ '%s' % text.__class__ }}",
    "{{ '%1000000000d' % 1 }}",
    "{{ text.format_map({}) }}",
    "{{ text.encode().decode() }}",
    "{{ text.translate({}) }}",
    "{{ text.__getattribute__('upper') }}",
    "{{ text|map(attribute='__class__')|list }}",
    "{{ [text]|map(attribute='__class__')|list }}",
    "{{ [text]|map('attr', '__class__')|list }}",
    "{{ [text]|groupby('__class__') }}",
    "{{ [text]|selectattr('__class__')|list }}",
    "{{ [text]|sum(attribute='__class__') }}",
    "{{ [text]|join(attribute='__class__') }}",
    "{% import 'os' as os %}{{ os }}",
    "{% from 'os' import popen %}",
    "{% include '/etc/passwd' %}",
    "{% extends '/etc/passwd' %}",
    "{% block x %}{{ super() }}{% endblock %}",
    "{% macro m() %}{{ caller.__globals__ }}{% endmacro %}{{ m() }}",
    "{% macro m() %}{{ varargs }}{{ m() }}{{ m() }}{% endmacro %}{{ m() }}",
    "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
    "{% for x in [1] %}{{ loop.__init__.__globals__ }}{% endfor %}",
    "{% for x in [1] %}{{ loop._iterable }}{% endfor %}",
    "{% call(x) text() %}{% endcall %}",
    "{% set x = text.__class__ %}{{ x }}",
    "{% set ns = namespace(x=1) %}{{ ns }}",
    "{% do text.append(1) %}",
    "{{ rows.append(1) }}",
    "{{ rows.clear() }}",
    "{{ result.update({'a': 1}) }}",
    "{{ result.pop('a') }}",
    "{{ missing }}",
    "{{ result.missing.deeper }}",
    "{% debug %}",
]
GREEDY = [
    "{{ 'a' * 100000000 }}",
    "{{ 100000000 * 'a' }}",
    "{{ [1] * 100000000 }}",
    "{{ 10 ** 10 ** 10 }}",
    "{{ 'a'.ljust(1000000000) }}",
    "{{ 'a'.center(1000000000) }}",
    "{{ 'a'.zfill(1000000000) }}",
    "{{ 'a\t'.expandtabs(1000000000) }}",
    "{{ 'a'|center(1000000000) }}",
    "{{ 'a'|indent(1000000000, true) }}",
    "{{ [1]|batch(1000000000, 'x')|list }}",
    "{{ [1]|slice(1000000000)|list }}",
    "{{ 1.5|round(1000000000, 'ceil') }}",
    "{{ range(1000000000)|list }}",
    "{% for x in range(10000) %}{% for y in range(10000) %}{% endfor %}{% endfor %}",
    "{% for x in range(10000) %}{% for y in range(10000) %}x{% endfor %}{% endfor %}",
    "{% for x in range(9999) %}{% for y in range(9999) %}{% if x > y %}{% endif %}{% endfor %}{% endfor %}",
    "{% for x in range(10000) %}{{ 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' }}{% endfor %}",
    "{{ long|replace('a', long) }}",
    "{{ long|replace('', long) }}",
    "{{ long.replace('', long) }}",
    "{{ range(10000)|join(long) }}",
    "{{ [long, long, long, long, long, long]|join }}",
    "{{ long.join(rows) }}",
    "{{ range(10000)|map('replace', '1', long)|list|length }}",
    "{% for x in range(10000) %}{% set y = long|upper %}{% endfor %}",
    "{% for x in range(10000) %}{% set y = wide|tojson %}{% endfor %}",
    "{% for x in range(10000) %}{% set y = wide == other %}{% endfor %}",
    "{% for x in range(10000) %}{% set y = wide|sort|length %}{% endfor %}",
    "{% for x in range(10000) %}{% set y = 'b' in long %}{% endfor %}",
    "{{ wide|map('string')|map('replace', '1', long)|list|length }}",
    "{{ lists|sum(start=[])|length }}",
    "".join(f"{{% set x{n + 1} = x{n} ~ x{n} %}}" for n in range(60)).replace("x0", "'ab'") + "{{ x60 }}",
    "".join(f"{{% set x{n + 1} = x{n} + x{n} %}}" for n in range(60)).replace("x0", "'ab'") + "{{ x60 }}",
    "".join(f"{{% set x{n + 1} = x{n} + x{n} %}}" for n in range(60)).replace("x0", "[1]") + "{{ x60 }}",
    "".join(f"{{% set x{n + 1} = x{n} * x{n} %}}" for n in range(60)).replace("x0", "9") + "{{ x60 }}",
    "{% set x = ['a'] %}" + "{% set x = [x, x] %}" * 40 + "{{ x }}",
    "{% set x = ['a'] %}" + "{% set x = [x] + [x] %}" * 40 + "{{ x | string | length }}",
    "{% set x = ['a'] %}" + "{% set x = (x, x) %}" * 40 + "{{ x | tojson }}",
    "{% set x = {} %}" + "{% set x = {1: x, 2: x} %}" * 40 + "{{ x }}",
    "{% set x = {} %}" + "{% set x = dict(a=x, b=x) %}" * 40 + "{{ x }}",
    "{% set x = ['a'] %}{% set y = ['a'] %}" + "{% set x = [x, x] %}{% set y = [y, y] %}" * 40 + "{{ x == y }}",
    "{% set x = [long] * 10000 %}{{ x | string | length }}",
    "{% set x = [long] * 100 %}{{ [0] * 1000 | map('default', x, true) | list | string | length }}",
    "{% set x = wide[:10000] %}{% for n in range(1000) %}{% set y = [x, x, x, x] %}{% endfor %}",
    "{% set x = 1 %}" + "{% set x = [x] %}" * 1_000,
    "{% set x = [wide] + [] %}" * 500,
    "{{ " + "(" * 20_000 + "1" + ")" * 20_000 + " }}",
    "{% if 1 %}" * 3_000 + "{% endif %}" * 3_000,
    "{% for x in range(2) %}" * 30 + "x" + "{% endfor %}" * 30,
    "{{ x }}" * 100_000,
    "{{ ([needle] * 10000)|select('in', hay)|list|length }}",
    "{{ ([needle] * 10000)|reject('in', hay)|list|length }}",
    "{{ ([{'a': needle}] * 10000)|selectattr('a', 'in', hay)|list|length }}",
    "{{ range(10000)|select('in', wide[:-1])|list|length }}",
    "{% for x in range(10000) %}{% if needle is in hay %}{% endif %}{% endfor %}",
]
NESTED: dict[str, Callable[[int], str]] = {
    "or": lambda n: "{{ " + " or ".join("a" * (n + 1)) + " }}",
    "+": lambda n: "{{ " + " + ".join("a" * (n + 1)) + " }}",
    "if else": lambda n: "{{ " + "a if a else " * n + "a }}",
    "not": lambda n: "{{ " + "not " * n + "a }}",
    "filters": lambda n: "{{ a" + "|upper" * n + " }}",
    "keys": lambda n: "{{ a" + ".b" * n + " }}",
    "calls": lambda n: "{{ a" + ".upper()" * (n // 2) + " }}" + ("{{ a" + "|upper" * n + " }}") * (n % 2),
    "~": lambda n: "{{ " + "(a ~ " * n + "a" + ")" * n + " }}",
    "lists": lambda n: "{{ " + "[a, " * n + "a" + "]" * n + " }}",
    "tests": lambda n: "{{ " + "a is eq(" * n + "a" + ")" * n + " }}",
    "brackets": lambda n: "{{ " + "(" * n + "a" + ")" * n + " }}",
    "in a loop": lambda n: "{% for x in a if " + " or ".join("a" * (n + 1)) + " %}{% endfor %}",
}
"""Sources with ``n`` operations or brackets in one another."""
TOO_DEEP = r"in one another|nested too deeply"
BLOCKS = {
    "loops": ("{% for x in a %}", "{% endfor %}"),
    "conditions": ("{% if a %}", "{% endif %}"),
    "otherwise": ("{% if a %}x{% else %}", "{% endif %}"),
}


def values_for(text: str = "hello") -> dict[str, Any]:
    wide = list(range(100_000))
    return {
        "text": text,
        "rows": [1, 2],
        "result": {"a": 1},
        "long": "a" * 100_000,
        "needle": "a" * 20 + "b" + "a" * 20,
        "hay": "a" * 180_000,
        "wide": wide,
        "other": list(wide),
        "lists": [[n] for n in wide],
    }


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_is_printed_as_it_stands_where_it_is_a_value(attack: str) -> None:
    render = compile_template("You said: {{ text }}")
    assert render({"text": attack}) == f"You said: {attack}"


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_is_refused_where_it_is_a_template(attack: str) -> None:
    with pytest.raises((DeployError, RunError)):
        compile_template(attack)(values_for())


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("{{ '{0.__class__}'.format(text) }}", "no function 'format'"),
        ("{{ text.format_map(result) }}", "no function 'format_map'"),
        ("{{ text.center(1000000000) }}", "no function 'center'"),
        ("{{ text['cen' ~ 'ter'](3) }}", "no function 'center'"),
        ("{{ rows.append(1) }}", "no function 'append'"),
        ("{{ text['__cl' ~ 'ass__'] }}", "'__class__'"),
        ("{{ text['__cl' + 'ass__'] }}", "'__class__'"),
        ("{{ text[['__class', '']|join('_') ~ '_'] }}", "'__class__'"),
        ("{{ text['__SSALC__'|reverse|lower] }}", "'__class__'"),
        ("{{ [text]|map(attribute='__cl' ~ 'ass__')|list }}", "'__class__'"),
        ("{{ '%1000000000d' % 1 }}", "formatting with %"),
        ("{{ ('%' ~ 1000000000 ~ 'd') % 1 }}", "formatting with %"),
        ("{{ 'a' * 100000000 }}", "more than 10000"),
        ("{{ 100000000 * 'a' }}", "more than 10000"),
        ("{{ range(1000000000)|list }}", "more than 10000"),
        ("{{ range(5, 1000000000, 2)|list }}", "more than 10000"),
    ],
)
def test_what_can_be_told_from_the_source_alone_is_refused_before_a_request_comes(source: str, told: str) -> None:
    """``validate`` says it with its place."""
    with pytest.raises(TemplateFault, match=told) as caught:
        read_template(f"\n{source}")
    assert (caught.value.kind, caught.value.line) == ("forbidden", 2)


@pytest.mark.parametrize(
    ("source", "filled"),
    [
        ("{{ text.upper() }} {{ text['lower']() }} {{ text[0] }}", "HELLO hello h"),
        ("{% for row in rows %}{{ loop.cycle('a', 'b') }}{% endfor %}", "ab"),
        ("{% for n in range(0, 1000000000, 500000000) %}{{ n }} {% endfor %}", "0 500000000"),
        ("{{ range(3, 0, -1)|join }} {{ range(3, 0)|join }}", "321"),
        ("{{ '-' * 10 }} {{ 7 % 4 }} {{ rows|length % 2 }}", "---------- 3 0"),
        ("{{ result['a' ~ ''] }} {{ result.get('a') }} {{ {'format': 1}.format }}", "1 1 1"),
    ],
)
def test_an_honest_template_is_not_taken_for_an_attack(source: str, filled: str) -> None:
    assert compile_template(source)(values_for()) == filled


@pytest.mark.parametrize("source", GREEDY, ids=lambda source: source[:60])
def test_a_greedy_template_ends_within_a_second(source: str) -> None:
    values = values_for()
    began = time.process_time()
    with contextlib.suppress(OrchestratorError):  # a few are cheap enough to end well
        assert len(compile_template(source)(values)) <= LARGEST_TEXT
    assert time.process_time() - began < 1.0


@pytest.mark.parametrize("kind", NESTED)
def test_what_may_be_nested_so_deep_is_compiled_and_what_is_deeper_is_refused_when_it_is_read(kind: str) -> None:
    """A manifest's check only reads a template: what it accepts must be compiled by every runtime."""
    compile_template(NESTED[kind](DEEPEST))
    read_template(NESTED[kind](DEEPEST))
    for deeper in (DEEPEST + 1, 500, 3_000):
        with pytest.raises(TemplateFault, match=TOO_DEEP):
            read_template(NESTED[kind](deeper))
        with pytest.raises(DeployError, match=TOO_DEEP):
            compile_template(NESTED[kind](deeper))


@pytest.mark.parametrize("kind", BLOCKS)
def test_loops_and_conditions_are_nested_so_deep_and_no_deeper(kind: str) -> None:
    """With as much in the innermost one as an expression may hold."""
    opens, closes = BLOCKS[kind]
    inside = NESTED["~"](DEEPEST)
    compile_template(opens * DEEPEST_BLOCKS + inside + closes * DEEPEST_BLOCKS)
    with pytest.raises(DeployError, match="more than 15 loops and conditions in one another"):
        compile_template(opens * (DEEPEST_BLOCKS + 1) + inside + closes * (DEEPEST_BLOCKS + 1))


@given(st.text())
def test_any_text_is_printed_as_it_stands(text: str) -> None:
    assert compile_template("<{{ text }}>")({"text": text}) == f"<{text}>"


@given(st.text(max_size=300))
def test_any_source_gives_text_or_a_typed_error(source: str) -> None:
    for written in (source, "{{" + source + "}}", "{%" + source + "%}"):
        with contextlib.suppress(OrchestratorError):
            assert isinstance(compile_template(written)({"text": "x"}), str)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("plain text ", "plain text"),
        (
            "{% set a, b = [text, 1], (text,) %}{{ a }} {{ b }} {{ dict([a], c=2) }}",
            "['hi', 1] ('hi',) {'hi': 1, 'c': 2}",
        ),
        ("{% for a, b in [[1, text], ('x', rows)] %}{{ a }}{{ b }} {% endfor %}", "1hi x{'a': 1}"),
        ("{{ result.items }}", "three"),  # the key, not the method
        ("{{ rows.items() | list }}", "[('a', 1)]"),
        ("{% for n in [1, 2, 3] %}{{ n }}{{ ', ' if not loop.last }}{% endfor %}", "1, 2, 3"),
        ("{% for n in [1, 2] %}{{ loop.index }}/{{ loop.length }} {% endfor %}", "1/2 2/2"),
        ("{{ 1250 | money }} euro", "12.50 euro"),
        ("{{ 'a' ~ 1 ~ 'b' }}", "a1b"),
        ("{{ [3, 1, 2] | sort | join(', ') }}", "1, 2, 3"),
        ("{{ people | map(attribute='name') | join(' and ') }}", "Ann and Bob"),
        ("{{ people | selectattr('old') | map(attribute='name') | first }}", "Bob"),
        ("{{ people | sum(attribute='old') }}", "1"),
        ("{{ people | join('+', attribute='name') }}", "Ann+Bob"),
        ("{{ {'a': \"<é's>\"} | tojson }}", '{"a": "<é\'s>"}'),
        ("{{ 2.567 | round(2) }} {{ 2.567 | round }}", "2.57 3"),
        ("{{ missing | default('nobody') }}", "nobody"),
        ("{% if text is defined and text.startswith('h') %}yes{% endif %}", "yes"),
        ("{% set n = rows.a + 1 %}{{ n * 3 }} {{ 7 % 4 }} {{ 7 // 2 }}", "6 3 3"),
        ("a\n{% if true %}\nb\n{% endif %}\nc", "a\nb\nc"),
        ("{# a note #}x", "x"),
        ("{% raw %}{{ x }}{% endraw %}", "{{ x }}"),
    ],
)
def test_what_templates_are_for_works(source: str, expected: str) -> None:
    people = [{"name": "Ann", "old": False}, {"name": "Bob", "old": True}]
    values = {"text": "hi", "result": {"items": "three"}, "rows": {"a": 1}, "people": people}
    assert compile_template(source)(values) == expected


def test_a_fault_names_its_line_and_what_to_use_instead() -> None:
    with pytest.raises(DeployError, match="line 2: there is no filter 'center'; filters are: abs, "):
        compile_template("first\n{{ 'x' | center(9) }}")


def test_what_templates_print_is_bounded() -> None:
    with pytest.raises(LimitReached, match=f"more than {LARGEST_TEXT} characters"):
        compile_template("{{ text }}{{ text }}")({"text": "x" * (LARGEST_TEXT // 2 + 1)})


def test_a_filling_leaves_no_trace_in_the_next() -> None:
    render = compile_template("{% for n in range(9000) %}{% set x = n %}{% endfor %}{{ text }}")
    assert [render({"text": str(n)}) for n in range(30)] == [str(n) for n in range(30)]


def test_the_sandbox_has_exactly_the_filters_of_the_language() -> None:
    assert {name for name in open_sandbox().filters if not name.startswith("_")} == FILTERS


def test_plain_texts_do_not_load_jinja2() -> None:
    code = (
        "import sys\n"
        "from orchestrator.deploy.template import compile_template\n"
        "assert compile_template('You answer politely. {x}')({}) == 'You answer politely. {x}'\n"
        "assert 'jinja2' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert is_plain("{x} 100 %") and not is_plain("{# x #}")
