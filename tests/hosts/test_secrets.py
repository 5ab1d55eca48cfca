"""Secret references: resolved late, refused when careless, never shown."""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path

import pytest

from orchestrator.core.errors import DeployError
from orchestrator.plugins.secrets import reveal

CANARY = "sk-canary-5f0c"


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "key.txt"
    path.write_text(CANARY + "\n")
    path.chmod(0o600)
    return path


def refusal(reference: str, folder: Path) -> DeployError:
    with pytest.raises(DeployError) as caught:
        reveal(reference, folder)
    shown = "".join(traceback.format_exception(caught.value)) + str(caught.value.as_json())
    assert CANARY not in shown
    assert caught.value.cure
    return caught.value


def test_a_variable_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEY", CANARY)
    secret = reveal("env:API_KEY", tmp_path)
    assert secret.reveal() == CANARY
    assert CANARY not in f"{secret} {secret!r}"


def test_a_file_beside_the_manifest_and_an_absolute_one(key: Path) -> None:
    assert reveal("file:key.txt", key.parent).reveal() == CANARY
    assert reveal(f"file:{key}", Path("/")).reveal() == CANARY


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_a_file_that_others_may_read_or_write_is_refused(key: Path, mode: int) -> None:
    key.chmod(mode)
    error = refusal("file:key.txt", key.parent)
    assert "file:key.txt" in error.message
    assert error.cure == f"chmod 600 {key}"


def test_a_line_to_type_is_quoted_for_a_shell(key: Path) -> None:
    """A file may have a space in its name."""
    spaced = key.rename(key.with_name("my key.txt"))
    spaced.chmod(0o644)
    assert refusal("file:my key.txt", key.parent).cure == f"chmod 600 '{spaced}'"


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can make another user's file")
def test_a_file_of_another_user_is_refused(key: Path) -> None:
    os.chown(key, 65534, 65534)
    assert "belongs to another user" in refusal("file:key.txt", key.parent).message


def test_a_named_pipe_is_refused_without_waiting_for_a_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    assert "is not a file" in refusal("file:pipe", tmp_path).message


def test_what_cannot_be_a_secret_is_refused_by_its_reference(tmp_path: Path, key: Path) -> None:
    assert "env:NOT_SET_ANYWHERE is not set" in refusal("env:NOT_SET_ANYWHERE", tmp_path).message
    assert "No such file" in refusal("file:missing", tmp_path).message
    key.write_bytes(CANARY.encode() * 10_000)
    assert "larger than" in refusal("file:key.txt", tmp_path).message
    key.write_bytes(CANARY.encode() + b"\xff")
    assert "not UTF-8" in refusal("file:key.txt", tmp_path).message
    key.write_text("\n")
    assert "is empty" in refusal("file:key.txt", tmp_path).message


@pytest.mark.parametrize("text", [CANARY, f"vault:{CANARY}", "env:", "", ":x"])
def test_a_text_that_is_no_reference_is_refused_and_not_repeated(tmp_path: Path, text: str) -> None:
    assert "begins with env:, file: or keyring:" in refusal(text, tmp_path).message


def test_a_missing_keyring_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    assert 'extra "keyring"' in refusal("keyring:cloud", tmp_path).message


def test_a_keyring_gives_what_it_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import keyring
    from keyring.backend import KeyringBackend

    class Ring(KeyringBackend):
        priority = 1

        def get_password(self, service: str, username: str) -> str | None:
            return CANARY if (service, username) == ("orchestrator", "cloud") else None

        def set_password(self, service: str, username: str, password: str) -> None:
            raise NotImplementedError

    before = keyring.get_keyring()
    keyring.set_keyring(Ring())  # type: ignore[no-untyped-call] # the library gives its backends no types
    try:
        assert reveal("keyring:cloud", tmp_path).reveal() == CANARY
        assert "is not in the keyring" in refusal("keyring:other", tmp_path).message
    finally:
        keyring.set_keyring(before)
