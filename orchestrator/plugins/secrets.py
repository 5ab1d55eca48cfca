"""Resolves secret references, late: ``env:NAME``, ``file:PATH``, ``keyring:NAME``.

An error names the reference, never the value. A text that is no reference is not named either: it may be the secret.
"""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from orchestrator.core.errors import DeployError
from orchestrator.core.extras import install_line
from orchestrator.ports.provider import Secret

_LARGEST: Final = 64 * 1024
_KEYRING: Final = "orchestrator"
_SYSTEM_FOLDERS: Final = ("/run/secrets/", "/run/credentials/")
"""Where containers and systemd mount secrets, with modes that a user cannot choose."""


def reveal(reference: str, folder: Path) -> Secret:
    """The secret that ``reference`` names; a relative ``file:`` counts from ``folder``. Raises ``DeployError``."""
    kind, colon, name = reference.partition(":")
    source = _SOURCES.get(kind) if colon else None
    if source is None or not name:
        raise DeployError(
            "a secret reference begins with env:, file: or keyring:, and this one does not",
            cure="write for example env:API_KEY or file:api-key.txt in place of the secret itself",
        )
    value = source(reference, name, folder)
    if not value:
        raise DeployError(f"the secret {reference} is empty", cure="store a value there")
    return Secret(value)


def _from_environment(reference: str, name: str, _folder: Path) -> str:
    value = os.environ.get(name)
    if value is None:
        raise DeployError(
            f"the secret {reference} is not set",
            cure=f"set {name} in the environment of the runtime, or use file: so that a reboot finds it",
        )
    return value


def _from_file(reference: str, name: str, folder: Path) -> str:
    return read_private(f"the secret {reference}", folder / Path(name).expanduser()).rstrip("\r\n")


def read_private(what: str, path: Path) -> str:
    """The text of a file that nobody else may read or change; ``what`` names it in errors. Raises ``DeployError``."""
    try:
        # Without O_NONBLOCK a named pipe would hang us before we could refuse it.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(handle, "rb") as file:
            _check_file(what, path, os.fstat(file.fileno()))
            content = file.read(_LARGEST + 1)
        if len(content) > _LARGEST:
            raise DeployError(f"{what} is larger than {_LARGEST} bytes", cure="is it the right file?")
        return content.decode()
    except OSError as error:
        raise DeployError(f"{what} cannot be read: {error.strerror}", cure=f"see {path}") from error
    except UnicodeDecodeError:
        # Not chained: that exception carries the content.
        raise DeployError(f"{what} is not UTF-8 text", cure=f"see {path}") from None


def _check_file(what: str, path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise DeployError(f"{what} is not a file", cure=f"see {path}")
    if not hasattr(os, "geteuid") or str(path.resolve()).startswith(_SYSTEM_FOLDERS):
        return
    if found.st_uid not in (os.geteuid(), 0):
        raise DeployError(f"{what} belongs to another user", cure=f"make {path} your own")
    mode = stat.S_IMODE(found.st_mode)
    if mode & 0o077:
        raise DeployError(
            f"others may read or change {what} (mode {mode:04o})", cure=f"chmod 600 {shlex.quote(str(path))}"
        )


def _from_keyring(reference: str, name: str, _folder: Path) -> str:
    try:
        import keyring
        import keyring.errors
    except ImportError as error:
        raise DeployError(f'the secret {reference} needs the extra "keyring"', cure=install_line("keyring")) from error
    try:
        value = keyring.get_password(_KEYRING, name)
    except keyring.errors.KeyringError as error:
        raise DeployError(
            f"the keyring does not open for {reference}", cure="unlock it, or use file: where nobody is logged in"
        ) from error
    if value is None:
        raise DeployError(f"the secret {reference} is not in the keyring", cure=f"keyring set {_KEYRING} {name}")
    return value


_SOURCES: Final[Mapping[str, Callable[[str, str, Path], str]]] = {
    "env": _from_environment,
    "file": _from_file,
    "keyring": _from_keyring,
}
