"""Every line of "Bad input" in the design: a diagnostic with its place and a cure, nothing else, compared as a whole."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from orchestrator.core.diagnostic import Severity
from orchestrator.core.errors import ManifestError
from orchestrator.manifest.load import load
from orchestrator.manifest.resolve import resolve
from tests.manifest.golden import compare, refusal, refused_text, resolved, said

GOLDEN = Path(__file__).with_name("bad_input")
HEAD = "deployment:\n  type: single-device\n"


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


CASES: dict[str, str] = {
    "bomb": "a: &a [x,x,x]\nb: &b [*a,*a,*a]\nc: &c [*b,*b,*b]\n" + HEAD,
    "duplicate-key": HEAD + "  timeout: 30s\n  timeout: 60s\n",
    "tabs": "deployment:\n\ttype: single-device\n",
    "wrong-types": HEAD + "  agents: {name: orders}\n  timeout: [30s]\n  serve: 7411\n  knowledge: yes\n",
    "nan": HEAD + "  agents:\n    - {name: orders, temperature: .nan}\n",
    "negative-size": HEAD + "  resources: {max_memory_usage: -8GB}\n",
    "no-size": HEAD + "  resources: {max_memory_usage: 8 elephants}\n",
    "unknown-keys-at-any-depth": "depolyment: {}\n" + HEAD + "  agents:\n    - name: orders\n      limits: {step: 3}\n"
    "      reflex:\n        - {say: hi, when: {regexp: hi}}\n  serve: {prot: 1}\n",
    "unknown-alias": HEAD + "  agents: [{name: orders, model: phi-4-mnii}]\n",
    "two-agents-of-one-name": HEAD + "  agents:\n    - orders\n    - name: orders\n      instructions: Again.\n",
    "agent-on-two-nodes": "deployment:\n  type: distributed-edge\n  nodes:\n"
    "    - {id: edge-1, agents: [orders]}\n    - {id: edge-2, agents: [orders]}\n",
    "secret-in-clear": HEAD + "  models:\n    - {alias: phi-4-mini, api_key: sk-abcdefghijklmnopqrstuvwx}\n",
    "template-out-of-the-sandbox": HEAD + "  agents:\n    - name: orders\n"
    "      instructions: \"{{ ''.__class__.__mro__[1].__subclasses__() }}\"\n",
    "python-outside-the-roots": HEAD + "  tools:\n    - {name: shell, python: 'subprocess:run'}\n",
    "not-utf-8-text": HEAD + "# \ud800\n",
    "byte-order-mark": "\ufeff" + HEAD,
    "number-of-ten-thousand-digits": HEAD + f"  timeout: {'9' * 10_000}\n",
    "steering-characters": HEAD + '  agents:\n    - {name: "\\e[31mred", model: "\\u202Eevil"}\n',
}


@pytest.mark.parametrize("name", CASES)
def test_bad_text_is_refused(name: str, tmp_path: Path) -> None:
    """What is told is the golden text."""
    compare(GOLDEN / f"{name}.txt", refused_text(CASES[name], tmp_path))


def test_an_unknown_build_is_told_with_the_nearest_known_one(tmp_path: Path) -> None:
    """A server may still call its own so: it is a warning, and the size is not reckoned."""
    (tmp_path / "shop.yaml").write_text(
        HEAD + "  models: [{alias: phi-4-mini, quantization: q4_km}]\n  agents: [orders]\n"
    )
    (told,) = [one for one in resolved("shop.yaml").diagnostics if one.code == "ORC251"]
    assert (told.message, told.severity) == ('unknown build "q4_km"', Severity.WARNING)
    assert told.cure.startswith('did you mean "q4_k_m"')
    assert told.place is not None and told.place.line == 3


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("context_length: 100000", "context_length: 100000 is more than qwen3-1.7b can take (40960 tokens)"),
        (
            "provider: vllm, server: {max_model_len: 1000000}",
            "max_model_len: 1000000 is more than qwen3-1.7b can take (40960 tokens)",
        ),
        (
            "provider: llama-cpp, server: {path: a.gguf, context_length: 50000}",
            "context_length: 50000 is more than qwen3-1.7b can take (40960 tokens)",
        ),
        ("context_length: 40960", ""),
        ("model: acme/own-7b, context_length: 100000", ""),
    ],
)
def test_more_tokens_than_the_catalogues_model_can_take_are_told(written: str, told: str, tmp_path: Path) -> None:
    """Wherever they are written; a server may be made to stretch them, and of a model with an id of its own nothing is known."""
    (tmp_path / "a.gguf").write_bytes(b"GGUF")
    (tmp_path / "shop.yaml").write_text(HEAD + f"  models: [{{alias: qwen3-1.7b, {written}}}]\n  agents: [orders]\n")
    found = [one for one in resolved("shop.yaml").diagnostics if one.code == "ORC264"]
    assert [(one.message, one.severity) for one in found] == ([(told, Severity.WARNING)] if told else [])


@pytest.mark.parametrize("linked", ["file", "package"])
def test_a_python_module_that_a_link_brings_in_is_refused(
    linked: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rule is that of the load itself: where the code really lies counts, and not what the folder shows."""
    folder, away = tmp_path / "site", tmp_path / "elsewhere"
    folder.mkdir()
    away.mkdir()
    (away / ("evil.py" if linked == "file" else "__init__.py")).write_text("def f(): return 1\n")
    (folder / ("evil.py" if linked == "file" else "evil")).symlink_to(away / "evil.py" if linked == "file" else away)
    monkeypatch.chdir(folder)
    text = refused_text(HEAD + "  tools:\n    - {name: shell, python: 'evil:f'}\n", folder)
    compare(GOLDEN / f"python-{linked}-through-a-link.txt", text.replace(str(away), "/elsewhere"))


def test_a_python_module_with_a_name_of_pythons_own_is_refused(tmp_path: Path) -> None:
    """It would never be loaded, so the check says so."""
    (tmp_path / "calendar.py").write_text("def f(): return 1\n")
    compare(
        GOLDEN / "python-with-a-reserved-name.txt",
        refused_text(HEAD + "  tools:\n    - {name: shell, python: 'calendar:f'}\n", tmp_path),
    )


def test_a_link_into_an_allowed_folder_is_fine(tmp_path: Path) -> None:
    """Its target counts."""
    folder, shared = tmp_path / "site", tmp_path / "shared"
    folder.mkdir()
    shared.mkdir()
    (shared / "tools.py").write_text("def f(): return 1\n")
    (folder / "tools.py").symlink_to(shared / "tools.py")
    tools = "  security: {tool_roots: [../shared]}\n  tools:\n    - {name: shell, python: 'tools:f'}\n"
    manifest = folder / "shop.yaml"
    manifest.write_text(HEAD + tools)
    assert not resolved(str(manifest)).diagnostics


def test_a_cycle_of_includes_is_shown_as_a_path(tmp_path: Path) -> None:
    """Each file on the way is named."""
    (tmp_path / "b.yaml").write_text("include: [c.yaml]\n")
    (tmp_path / "c.yaml").write_text("include: [shop.yaml]\n")
    compare(GOLDEN / "include-cycle.txt", refused_text("include: [b.yaml]\n" + HEAD, tmp_path))


def test_a_huge_file_is_refused_before_it_is_parsed(tmp_path: Path) -> None:
    """50 MB are too many, whatever they hold."""
    with (tmp_path / "huge.yaml").open("wb") as file:
        file.truncate(50_000_000)
    compare(GOLDEN / "huge-file.txt", said(refusal(["huge.yaml"])))


def test_a_folder_a_missing_file_and_a_pipe_are_told_together(tmp_path: Path) -> None:
    """All three of them, in one go, and the pipe does not block."""
    (tmp_path / "folder.yaml").mkdir()
    os.mkfifo(tmp_path / "pipe.yaml")
    compare(GOLDEN / "no-files.txt", said(refusal(["folder.yaml", "missing.yaml", "pipe.yaml"])))


def test_an_unreadable_file_says_why(tmp_path: Path) -> None:
    """A link that leads to itself cannot be opened by anybody, root included."""
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")
    compare(GOLDEN / "unreadable.txt", said(refusal(["loop.yaml"])))


def test_bytes_that_are_no_text_have_a_place(tmp_path: Path) -> None:
    """The first wrong byte, and wide encodings by their names."""
    (tmp_path / "latin.yaml").write_bytes(HEAD.encode() + b"# caff\xe8\n")
    (tmp_path / "wide.yaml").write_bytes(HEAD.encode("utf-16"))
    for order in ("le", "be"):
        content = b"\xff\xfe\0\0" if order == "le" else b"\0\0\xfe\xff"
        (tmp_path / f"wider-{order}.yaml").write_bytes(content + HEAD.encode(f"utf-32-{order}"))
        assert f"wider-{order}.yaml is UTF-32" in said(refusal([f"wider-{order}.yaml"]))
    compare(GOLDEN / "not-utf-8.txt", said(refusal(["latin.yaml", "wide.yaml"])))


def test_standard_input_without_a_name_is_refused_with_the_cure() -> None:
    """A deployment needs a name, and standard input has none."""
    with pytest.raises(ManifestError) as caught:
        load(["-"], environment={}, stdin=io.StringIO(HEAD + "  agents: [orders]\n"))
    compare(GOLDEN / "stdin-without-a-name.txt", said(caught.value))


def test_standard_input_with_a_name_is_a_manifest() -> None:
    """``-`` reads it; places call it <stdin>."""
    text = "metadata: {name: shop}\n" + HEAD + "  agents: [orders]\n"
    loaded = load(["-"], environment={}, stdin=io.StringIO(text))
    assert (loaded.name, loaded.roots) == ("shop", ("<stdin>",))
    assert resolve(loaded).place_of("agent.orders") is not None


@pytest.mark.parametrize("size", ["8 GB", "8gb", "8Gi", "8GiB", "8GB", "8000000000"])
def test_every_usual_spelling_of_a_size_is_fine(size: str, tmp_path: Path) -> None:
    """GB is 10^9, GiB is 2^30."""
    (tmp_path / "shop.yaml").write_text(HEAD + f"  hardware: {{memory: {size}}}\n  agents: [orders]\n")
    hardware = resolved("shop.yaml").manifest.deployment.hardware
    assert hardware is not None and not isinstance(hardware, str)
    assert hardware.memory == (8 * 2**30 if "i" in size else 8_000_000_000)


def test_everything_wrong_is_told_at_once(tmp_path: Path) -> None:
    """Syntax of values, structure, references and secrets of two files in one list, sorted by place, each cause once."""
    (tmp_path / "models.yaml").write_text("deployment:\n  models: [{alias: phi-4-mini, provder: ollama}]\n")
    text = (
        "include: [models.yaml]\n" + HEAD + "  timeout: ${NOT_SET}\n  timeout: 5s\n  agents:\n"
        "    - name: orders\n      max_tokens: many\n      escalate_to: dsk\n      reflex: [{say: '{{ a', when: {regex: '('}}]\n"
        "    - {name: desk, model: phi-4-mni}\n# ghp_abcdefghijklmnopqrstuvwxyz0123456789\n"
    )
    compare(GOLDEN / "everything.txt", refused_text(text, tmp_path))
