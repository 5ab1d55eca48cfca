"""Hostile files: each refused with a place, fast, with hardly any memory, and never with another exception."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.codes.table import CODES
from orchestrator.core.errors import ManifestError
from orchestrator.manifest.load import load, load_texts
from orchestrator.manifest.resolve import resolve
from tests.manifest.golden import ROOT, said

BIG = 15_900_000
HEAD = "deployment:\n  type: single-device\n"

HOSTILE: dict[str, Callable[[], str]] = {
    "billion laughs": lambda: (
        "a: &a [lol,lol]\n" + "".join(f"{chr(97 + n)}: &{chr(97 + n)} [*{chr(96 + n)}]\n" for n in range(1, 9))
    ),
    "quadratic laughs": lambda: "a: &a " + "x" * 10_000 + "\nb: [" + "*a," * 10_000 + "]\n",
    "alias to itself": lambda: "a: &a [*a]\n",
    "anchor on a key": lambda: "&a k: v\n",
    "merge of a map": lambda: "<<: {a: 1}\n",
    "merge of a list": lambda: "<<: [{a: 1}]\n",
    "brackets": lambda: "[" * BIG,
    "braces": lambda: "{" * BIG,
    "braces with keys": lambda: "{a: " * 3_000_000,
    "closed brackets": lambda: "k: " + "[" * 3_000 + "]" * 3_000,
    "dashes": lambda: "- " * 5_000_000,
    "question marks": lambda: "? " * 5_000_000,
    "colons": lambda: ": " * 5_000_000,
    "spaces": lambda: " " * BIG,
    "tabs": lambda: "\t" * BIG,
    "line feeds": lambda: "\n" * BIG,
    "hashes": lambda: "#" * BIG,
    "commas": lambda: "[a" + "," * BIG,
    "quotes": lambda: '"' + "x" * BIG,
    "single quotes": lambda: "'" * BIG,
    "one endless word": lambda: "a: " + "x" * BIG,
    "one endless key": lambda: "x" * BIG + ": a",
    "one endless block": lambda: "a: |\n" + "  x\n" * 3_000_000,
    "many keys": lambda: "".join(f"k{n}: 1\n" for n in range(1_100_000)),
    "many items": lambda: HEAD + "  agents:\n" + "    - a\n" * 1_100_000,
    "many items in brackets": lambda: HEAD + "  agents: [" + "a," * 1_100_000 + "]\n",
    "many documents": lambda: "---\n" * 3_000_000,
    "many tags": lambda: "!!str " * 2_000_000,
    "bangs": lambda: "!" * BIG,
    "ampersands": lambda: "&" * BIG,
    "stars": lambda: "*" * BIG,
    "percents": lambda: "%" * BIG,
    "directives": lambda: "%YAML 1.2\n" * 1_000_000,
    "pipes": lambda: "|" * BIG,
    "backslashes": lambda: 'a: "' + "\\" * 999_000 + '"',
    "escapes": lambda: 'a: "' + "\\x41" * 240_000 + '"',
    "a number of a million digits": lambda: "a: " + "9" * 999_000,
    "a fraction of a million digits": lambda: "a: 0." + "9" * 999_000,
    "a hexadecimal number without end": lambda: "a: 0x" + "f" * 999_000,
    "a huge exponent": lambda: "a: 1e999999999",
    "infinity": lambda: "a: -.inf",
    "NUL": lambda: "a: \0",
    "bell": lambda: "a: \a",
    "half a letter": lambda: "a: \ud800",
    "a mark of byte order": lambda: "\ufeff" + HEAD,
    "a mark of byte order inside": lambda: "a: x\ufeffx",
    "object of Python": lambda: "a: !!python/object/apply:os.system [id]\n",
    "name of Python": lambda: "a: !!python/name:os.system\n",
    "module of Python": lambda: "a: !!python/module:os\n",
    "binary": lambda: "a: !!binary aGVsbG8=\n",
    "set": lambda: "a: !!set {x, y}\n",
    "local tag": lambda: "a: !include /etc/passwd\n",
    "key that is a map": lambda: "? {a: b}\n: c\n",
    "key that is a list": lambda: "[a]: b\n",
    "duplicate keys": lambda: "a: 1\n" * 100_000,
    "include of a device": lambda: "include: [/dev/zero]\n",
    "include of a parent": lambda: "include: [../../../../etc/passwd]\n",
    "include of an address": lambda: "include: ['http://127.0.0.1/x.yaml']\n",
    "includes of many": lambda: "include: [" + ", ".join(f"x{n}.yaml" for n in range(2_000)) + "]\n",
    "unknown keys": lambda: HEAD + "".join(f"  k{n}: 1\n" for n in range(10_000)),
    "variables": lambda: HEAD + "  entry: '" + "${A}" * 20_000 + "'\n",
    "half a variable": lambda: HEAD + "  entry: '" + "${A" * 20_000 + "'\n",
    "defaults without an end": lambda: HEAD + "  entry: '" + "${A:-" * 19_000 + "'\n",
    "defaults without an end in a password": lambda: HEAD + "  entry: 'http://u:" + "${A:-" * 18_000 + "@h'\n",
    "braces in a password": lambda: HEAD + "  entry: 'http://u:" + "{" * 90_000 + "a@h'\n",
    "commas before a fault": lambda: HEAD + "  entry: " + "{," * 400_000 + "\n",
    "one name many times": lambda: HEAD + "  agents: [" + "a, " * 2_000 + "a]\n",
    "names that look alike": lambda: (
        HEAD + "  agents: [" + ", ".join(f"agent-{n}" for n in range(1_000)) + "]\n  entry: agent-x\n"
    ),
    "words that might begin a token": lambda: "# " + "-eyJabc" * 100_000 + "\n" + HEAD + "  entry: nobody\n",
    "a long word beside a key": lambda: "# key " + "a" * 900_000 + "\n" + HEAD + "  entry: nobody\n",
    "a long unknown key": lambda: HEAD + "  " + "k" * 1_000 + ": 1\n",
    "many unknown agents": lambda: (
        HEAD + "  agents:\n" + "".join(f"  - {{name: a{n}, escalate_to: b{n}}}\n" for n in range(400))
    ),
    "words that look like keys": lambda: "# " + "token: " * 100_000 + "\n" + HEAD + "  entry: nobody\n",
}


def test_there_are_enough_of_them() -> None:
    """At least sixty: every way that is known to make a YAML or JSON reader work for the attacker."""
    assert len(HOSTILE) >= 60


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_fast_and_small(name: str) -> None:
    """A typed error with a line, in a tenth of a second of CPU (above 2 MB: a twentieth a MB), the best of three."""
    text = HOSTILE[name]()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    limit = 0.1 * max(1.0, len(text) / 2_000_000)
    spent = _seconds_to_refuse(text)
    for _ in range(2):
        spent = spent if spent < limit else min(spent, _seconds_to_refuse(text))
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert spent < limit, f"{spent:.3f} s"
    assert grown < 20_000 + 4 * len(text) / 1000, f"{grown} kB"


def _seconds_to_refuse(text: str) -> float:
    start = time.process_time()
    with pytest.raises(ManifestError) as caught:
        resolve(load_texts({"shop.yaml": text}, Path("/nowhere"), {}))
    spent = time.process_time() - start
    assert caught.value.diagnostics[0].place is not None
    return spent


@given(st.text(max_size=400))
def test_no_text_makes_another_exception(text: str) -> None:
    """Whatever it is."""
    assert _is_judged(text)


WORDS = st.sampled_from(
    "deployment type single-device distributed-edge agents models name role router model tools include metadata nodes id"
    " reflex when regex say extract a b phi-4-mini 1 -1 1.5 .nan true null ~ '' \"x\" [ ] { } : , - ? | > & * ! # % @ ` ${A}"
    " ${ $$ x-a << --- ... é \t \n file:a env:A api_key timeout 30s 8GB 80% 0x1 1e5 (a+)+ {{ }} {% %}".split(" ")
)


@given(st.lists(st.tuples(st.sampled_from(["\n", "\n  ", "\n    ", "\n      ", " ", ""]), WORDS), max_size=60))
def test_no_mixture_of_words_makes_another_exception(parts: list[tuple[str, str]]) -> None:
    """Made of what manifests are made of."""
    assert _is_judged("".join(gap + word for gap, word in parts))


@given(st.sampled_from(sorted((ROOT / "manifests").glob("*.yaml"))), st.data())
def test_no_damage_to_a_good_manifest_makes_another_exception(path: Path, data: st.DataObject) -> None:
    """A piece taken out, doubled, or replaced by something else."""
    text = path.read_text()
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 40)))
    middle = data.draw(st.one_of(st.just(""), st.just(text[start:end] * 2), WORDS, st.text(max_size=5)))
    assert _is_judged(text[:start] + middle + text[end:])


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)


def _around(inner: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3)


@given(st.recursive(LEAVES, _around, max_leaves=12))
def test_no_tree_makes_another_exception(value: object) -> None:
    """Any shape under any key."""
    import json

    assert _is_judged("deployment:\n  type: single-device\n  agents:\n    - " + json.dumps(value) + "\n")
    assert _is_judged(json.dumps({"deployment": value}))


def _is_judged(text: str) -> bool:
    """Whether it is a manifest with parts, or refused with faults that each have a code and can be shown."""
    try:
        found = resolve(load_texts({"shop.yaml": text}, Path("/nowhere"), {}))
    except ManifestError as error:
        return bool(error.diagnostics) and all(one.code in CODES for one in error.diagnostics) and bool(said(error))
    return bool(found.origins or found.mentions)


def test_bytes_that_are_no_text_make_no_other_exception(tmp_path: Path) -> None:
    """As a file."""
    for number, content in enumerate(
        (b"\xff", b"\x80abc", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"a: \xc3", bytes(range(256)))
    ):
        path = tmp_path / f"f{number}.yaml"
        path.write_bytes(content)
        with pytest.raises(ManifestError):
            load([str(path)], environment={})


def test_the_time_grows_with_the_size_and_no_faster() -> None:
    """Ten times the agents, at most twenty times the CPU (ten, and noise). Measured alone, in a fresh process."""
    code = """
import time
from pathlib import Path
from orchestrator.manifest.load import load_texts
from orchestrator.manifest.resolve import resolve
def text(n):
    head = "deployment:\\n  type: single-device\\n  models: [{alias: phi-4-mini, primary: true}]\\n  agents:\\n"
    return head + "".join(f"    - name: a{i}\\n      instructions: Topic {i}.\\n      examples: [where {i}, what {i}]\\n"
                          f"      tools: [database]\\n      escalate_to: a{(i + 1) % n}\\n" for i in range(n))
def spent(n):
    source = {"a.yaml": text(n)}
    start = time.process_time()
    resolve(load_texts(source, Path("/nowhere"), {}))
    return time.process_time() - start
spent(10)
print(min(spent(300) for _ in range(3)), min(spent(3000) for _ in range(2)))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    small, large = (float(word) for word in done.stdout.split())
    assert large < 20 * small, (small, large)
