"""Help: every verb explains itself, with examples that fit its own options."""

from __future__ import annotations

import shlex
import subprocess
import sys

import pytest

from orchestrator.cli.main import execute
from orchestrator.cli.options import commands
from orchestrator.cli.parser import parser_of
from orchestrator.cli.table import VERBS, find
from orchestrator.cli.view.terminal import Terminal
from tests.cli.commands import Screen, golden, here

NAMES = [verb.name for verb in VERBS]
FACES = "--face {"


def test_the_program_lists_its_verbs_by_group() -> None:
    """With the first steps and the exit codes."""
    ran = here("--help")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == golden("help/orchestrator.txt", ran.out)


@pytest.mark.parametrize("words", [(), ("-h",), ("help",)])
def test_without_a_verb_help_is_shown(words: tuple[str, ...]) -> None:
    """A newcomer sees what there is."""
    assert here(*words).out == here("--help").out


@pytest.mark.parametrize("name", NAMES)
def test_every_verb_has_help_with_examples(name: str) -> None:
    """As in the golden file; the same for ``help VERB``."""
    ran = here(name, "--help")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == golden(f"help/{name}.txt", ran.out)
    assert here("help", name).out == ran.out


@pytest.mark.parametrize("name", NAMES)
def test_the_examples_of_a_verb_are_accepted_by_its_parser(name: str) -> None:
    """An example with an option that does not exist would be worse than none."""
    verb = find(name)
    assert verb is not None
    text = here(name, "--help").out.partition("examples:\n")[2]
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    assert lines
    for line in lines:
        own = [part.split(">")[0] for part in line.split("|") if "orchestrator" in part][-1]
        words = shlex.split(own)
        assert words[:2] == ["orchestrator", name]
        parser_of(verb).parse_args(words[2:])


def test_every_option_says_what_it_does() -> None:
    """No option without help."""
    mute = [f"{' '.join(c.words)} {o.names[0]}" for c in commands() for o in c.options if not o.about]
    assert mute == []


def test_the_version_is_told() -> None:
    """And nothing else."""
    ran = here("--version")
    assert ran.code == 0 and ran.out.startswith("orchestrator ") and len(ran.out.split()) == 2


def test_a_python_without_the_script_on_its_path_runs_it_as_a_module() -> None:
    """The same command, the same exit code, and its own name in the help."""
    words = [sys.executable, "-m", "orchestrator"]
    told = subprocess.run([*words, "--version"], capture_output=True, text=True, check=True, timeout=60)
    assert told.stdout == here("--version").out
    wrong = subprocess.run([*words, "aply"], capture_output=True, text=True, check=False, timeout=60)
    assert (wrong.returncode, wrong.stderr) == (64, here("aply").err)


def test_an_unknown_verb_gets_the_nearest_one() -> None:
    """Wrong usage is 64, for verbs as for options."""
    ran = here("aply", "x.yaml")
    assert (ran.code, ran.out) == (64, "")
    assert ran.err == 'error[ORC601]: there is no verb "aply"\n  cure: did you mean "apply"?\n'


@pytest.mark.parametrize(("verb", "near"), [("lgos", "logs"), ("rnu", "run"), ("statsu", "status"), ("bogus", "")])
def test_a_verb_is_guessed_where_it_is_near(verb: str, near: str) -> None:
    """They are short: what begins otherwise and shares a few letters is another word."""
    ran = here(verb)
    assert ran.err.endswith(f'cure: did you mean "{near}"?\n' if near else "cure: see `orchestrator --help`\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--verbose",), 'there is no option "--verbose"'),
        (("validate", "--format", "xml", "a.yaml"), "argument --format: invalid choice: 'xml'"),
        (("validate",), "no manifest is named"),
        (("validate", "-", "-"), "standard input is named twice"),
        (("plan", "a.yaml", "--set", "port"), '--set "port" is no KEY=VALUE'),
        (("explain",), "the following arguments are required: OBJECT"),
        (("run",), "the following arguments are required: NAME\n"),
        (("run", "kiosk", "--jsn", "--", "-5 bags"), "unrecognized arguments: --jsn -5 bags"),
        (("models", "--", "-x"), "argument ACTION: invalid choice: '-x'"),
        (("down",), "name deployments, or --all"),
        (("apply", "a.yaml", "--timeout", "soon"), "'soon' is no duration"),
        (("logs", "kiosk", "-n", "-5"), "argument -n/--lines: '-5' is no number of lines, which is 0 or more"),
        (("runtime", "logs", "--lines=-1"), "argument -n/--lines: '-1' is no number of lines, which is 0 or more"),
        (("plan", "manifests/single-device.yaml", "--name", "no name"), '"no name" is no deployment name'),
    ],
)
def test_wrong_usage_is_told_with_a_cure(words: tuple[str, ...], said: str) -> None:
    """Exit code 64, a code, a cure, nothing on stdout."""
    ran = here(*words)
    assert (ran.code, ran.out) == (64, "")
    assert ran.err.startswith(f"error[ORC601]: {said}") and "\n  cure: " in ran.err


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("validate", "--", "-x.yaml"), ["-x.yaml"]),
        (("validate", "a.yaml", "--strict", "--", "-x.yaml"), ["a.yaml", "-x.yaml"]),
        (("validate", "--", "--"), ["--"]),
    ],
)
def test_after_two_hyphens_no_word_is_an_option(words: tuple[str, ...], named: list[str]) -> None:
    """A file's name may begin with a hyphen: it is looked for under its own name."""
    ran = here(*words)
    assert ran.code == 2
    for name in named:
        assert f"there is no file {name}\n  --> {name}:1:1" in ran.out + ran.err


def test_no_color_may_stand_before_or_after_the_verb() -> None:
    """Both times the output is plain, on a terminal too."""
    streams = Screen(terminal=True), Screen(terminal=True), Screen(terminal=True)
    for words in (("--no-color", "explain", "code", "ORC301"), ("explain", "code", "ORC301", "--no-color")):
        assert execute(words, Terminal(streams, {}, plain="--no-color" in words)) == 0
    assert "\x1b[" not in streams[1].getvalue()


def test_down_says_why_it_has_no_yes() -> None:
    """Who knows the word from ``apply`` is told that nothing is asked; help does not show it."""
    ran = here("down", "kiosk", "--yes")
    assert (ran.code, ran.out) == (64, "")
    assert (
        ran.err == "error[ORC601]: down has no --yes\n  cure: leave it out: down asks nothing, and keeps the history\n"
    )
    assert "--yes" not in here("down", "--help").out
    (line,) = [line for line in here("completion", "bash").out.splitlines() if line.strip().startswith('"down")')]
    assert "--drain" in line and "--yes" not in line


@pytest.mark.parametrize(
    ("words", "cure"),
    [
        (("run", "kiosk", "hello", "--data-clas", "restricted"), 'did you mean "--data-class"?'),
        (("apply", "kiosk.yaml", "--yess"), 'did you mean "--yes"?'),
        (("down", "kiosk", "--yse"), "see `orchestrator down --help`"),
        (("run", "kiosk", "hello", "--wibble"), "see `orchestrator run --help`"),
    ],
)
def test_an_unknown_option_is_told_with_the_near_one(words: tuple[str, ...], cure: str) -> None:
    """One that help does not show is none to mean."""
    ran = here(*words)
    assert ran.code == 64
    assert ran.err.startswith("error[ORC601]: unrecognized arguments: --")
    assert ran.err.endswith(f"  cure: {cure}\n")
