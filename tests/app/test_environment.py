"""The file ``environment``: secrets reach the runtime as they were written, or the file is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.app.environment import load_environment
from orchestrator.core.errors import StateUnusable


def write(config: Path, text: str | bytes, mode: int = 0o600) -> None:
    """The file, as a person makes it."""
    path = config / "environment"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    path.chmod(mode)


def loaded(config: Path, **before: str) -> dict[str, str]:
    """The environment after it."""
    environment = dict(before)
    load_environment(config, environment)
    return environment


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        ("KEY=abc", "KEY", "abc"),
        ('KEY=abc"', "KEY", 'abc"'),
        ("KEY=\"a'b'\"", "KEY", "a'b'"),
        ("KEY='a\"b'", "KEY", 'a"b'),
        ('KEY="', "KEY", '"'),
        ("KEY=\"abc'", "KEY", "\"abc'"),
        ('KEY=""', "KEY", ""),
        ("KEY=", "KEY", ""),
        ('KEY=" a "', "KEY", " a "),
        ("KEY=a=b==", "KEY", "a=b=="),
        ("KEY=a b # c", "KEY", "a b # c"),
        ("KEY=a\u2028b\x0bc", "KEY", "a\u2028b\x0bc"),
        ("  KEY = abc \r", "KEY", "abc"),
        ("export KEY=1", "KEY", "1"),
        ("export\tKEY=1", "KEY", "1"),
        ("export=1", "export", "1"),
    ],
)
def test_a_value_is_what_stands_there(line: str, name: str, value: str, tmp_path: Path) -> None:
    """One pair of quotes around it is taken off, and nothing else."""
    write(tmp_path, f"# keys\n\n{line}\nLAST=1\n")
    assert loaded(tmp_path) == {name: value, "LAST": "1"}


def test_what_the_environment_has_already_wins(tmp_path: Path) -> None:
    """The file is for what is missing."""
    write(tmp_path, "KEY=from the file\n")
    assert loaded(tmp_path, KEY="from the unit") == {"KEY": "from the unit"}


@pytest.mark.parametrize(
    "line",
    ["sk-hunter2", "=hunter2", "MY-KEY=hunter2", "export hunter2", "set KEY=hunter2", "2KEY=hunter2", "KEY=\0hunter2"],
)
def test_a_line_that_is_none_is_refused_with_its_number(line: str, tmp_path: Path) -> None:
    """It is not shown, because it may be the secret; and of the other lines nothing is taken."""
    write(tmp_path, f"# keys\nFIRST=1\n{line}\n")
    environment: dict[str, str] = {}
    with pytest.raises(StateUnusable, match=r"line 3 of /.*/environment is not NAME=value") as raised:
        load_environment(tmp_path, environment)
    assert "hunter2" not in str(raised.value.as_json()) and raised.value.cure and not environment


@pytest.mark.parametrize(
    ("content", "mode", "told", "cure"),
    [
        ("KEY=1\n", 0o644, r"others may read or change the file /.*/environment \(mode 0644\)", "chmod 600 /"),
        ("KEY=1\n", 0o620, r"\(mode 0620\)", "chmod 600 /"),
        (b"KEY=\xff\n", 0o600, r"the file /.*/environment is not UTF-8 text", "see /"),
        ("K=" + "x" * 70_000, 0o600, r"the file /.*/environment is larger than 65536 bytes", "right file"),
    ],
)
def test_a_file_that_is_not_as_it_must_be_is_refused(
    content: str | bytes, mode: int, told: str, cure: str, tmp_path: Path
) -> None:
    """As a file that a ``file:`` reference names."""
    write(tmp_path, content, mode)
    with pytest.raises(StateUnusable, match=told) as raised:
        loaded(tmp_path)
    assert cure in raised.value.cure


def test_without_the_file_nothing_happens(tmp_path: Path) -> None:
    """Most runtimes need none."""
    assert loaded(tmp_path) == {}
