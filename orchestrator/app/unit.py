"""Systemd user units: the one that starts the runtime when the user logs in (or at boot, with lingering), and those that
`orchestrator export` writes."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from orchestrator.app.settings import NAMES
from orchestrator.app.start import clean_environment
from orchestrator.core.errors import DeployError, UsageError
from orchestrator.export.systemd import Unit
from orchestrator.ports.host import Folders

UNIT: Final = "orchestrator.service"
_TEXT: Final = """\
# {written_by}
[Unit]
Description={about}
After=network.target

[Service]
Type=notify
NotifyAccess=main
ExecStart={command}
EnvironmentFile=-{environment_file}
{environment}Restart=on-failure
RestartSec=2
TimeoutStopSec=60
KillMode=mixed
UMask=0077
NoNewPrivileges=yes
PrivateTmp={private_tmp}
ProtectSystem=strict
{writable}
ProtectKernelTunables=yes
ProtectControlGroups=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
TasksMax=4096

[Install]
WantedBy=default.target
"""


_NOT_OF_A_UNIT: Final = frozenset(
    {
        *("USER", "LOGNAME", "SHELL", "SYSTEMROOT", "DBUS_SESSION_BUS_ADDRESS"),
        *("TMPDIR", "TEMP", "TMP"),
    }
)
"""What the user's service manager sets itself, and a folder that the unit may not write or that ends with the login."""


def unit_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """What the unit's runtime must have of this shell's environment to be the one that a command of this shell would start: the
    same folders, port, places of model servers and programs. ``XDG_RUNTIME_DIR`` and what else tells of a login session is
    the service manager's own. Raises ``UsageError`` for a value that no unit can hold."""
    kept = {name: value for name, value in clean_environment(environment).items() if _is_of_a_unit(name)}
    for name, value in kept.items():
        _check_holds(name, value)
    return dict(sorted(kept.items()))


def _check_holds(name: str, value: str) -> None:
    if not value.isprintable():
        raise UsageError(f"{name} is {value!r}, which a systemd unit cannot hold", cure=f"unset {name}, or mend it")


def _is_of_a_unit(name: str) -> bool:
    """A unit is a file: of our own variables it holds the settings, and none that might be a secret."""
    if name.startswith("ORCHESTRATOR_"):
        return name in NAMES
    if name.startswith("XDG_"):
        return name.endswith(("_HOME", "_DIRS"))
    return name not in _NOT_OF_A_UNIT and not name.startswith("COVERAGE_")


def unit_text(folders: Folders, environment: Mapping[str, str], python: str = sys.executable) -> str:
    """The unit's text. ``environment`` is the whole one of its runtime, but for what the service manager adds.

    Options that drop capabilities are left out: a user's own process has none, and a user's service manager cannot drop
    them and would refuse to start the unit. The system is read-only to it but for its own folders; files that tools
    write elsewhere need a ``ReadWritePaths`` of their own (``systemctl --user edit orchestrator``). A runtime folder
    below ``/tmp`` rules out a private one, and needs all of ``/tmp``: after a reboot it is gone, systemd starts no unit whose
    paths are missing, and the runtime makes it anew. Model servers that the runtime starts are in the unit too: its memory has no
    limit, only the runtime is asked to end (it ends them after the requests in flight), and after a crash systemd ends
    them before the runtime is started again.
    """
    lasting = folders.runtime.is_relative_to(folders.state)
    writable = [folders.state, folders.config, *([] if lasting else [folders.runtime.parent])]
    return _TEXT.format(
        written_by="Written by `orchestrator runtime install`; `orchestrator runtime uninstall` removes it.",
        about="Orchestrator runtime: serves the applied deployments",
        command=f"{_quoted(python)} -P -m orchestrator.app.runtime --foreground",
        environment_file=_escaped(str(folders.config / "environment")),
        environment=_environment_lines(environment),
        writable=f"ReadWritePaths={' '.join(_quoted(str(path)) for path in writable)}",
        private_tmp="no" if folders.runtime.is_relative_to("/tmp") else "yes",  # noqa: S108 - compared, not used
    )


def exported_text(unit: Unit, python: str = sys.executable) -> str:
    """The text of a unit of an export. Its home is below the state folder of whoever's service manager starts it (``%S``), which
    systemd makes before the start and leaves writable. Raises ``UsageError`` for a value that no unit can hold."""
    home = f"%S/{unit.home}"
    for name, value in unit.environment.items():
        _check_holds(name, value)
    for word in unit.arguments:
        _check_holds("the command", word)
    return _TEXT.format(
        written_by="Written by `orchestrator export systemd`.",
        about=_escaped(unit.about),
        command=" ".join([_quoted(python), *(_word(word) for word in unit.arguments)]),
        environment_file=f"{home}/config/environment",
        environment=f"Environment=ORCHESTRATOR_HOME={home}\n{_environment_lines(unit.environment)}",
        writable=f"StateDirectory={unit.home}\nStateDirectoryMode=0700",
        private_tmp="yes",
    )


def unit_path(config_home: Path) -> Path:
    """Where the user's own units are: ``config_home`` is ``$XDG_CONFIG_HOME`` or ``~/.config``."""
    return config_home / "systemd" / "user" / UNIT


def install(path: Path, text: str, hand_over: Callable[[], None]) -> list[str]:
    """Write the unit, and start it now and at each login. Gives what is left to do by hand, nothing where it runs.

    ``hand_over`` ends the runtime that runs: only one can, and a unit that runs already would keep its old text. It is called
    right before the unit is started, and not where it cannot be.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    left = _systemctl("daemon-reload")
    if left:
        return [*left, "orchestrator runtime stop", _by_hand(*_ENABLE)]
    hand_over()
    return _systemctl(*_ENABLE)


def uninstall(path: Path) -> list[str]:
    """Stop it, and remove the unit. Raises ``DeployError`` where none is installed."""
    if not path.exists():
        raise DeployError(f"no unit is installed at {path}", cure="nothing is to be done")
    left = _systemctl("disable", "--now", UNIT)
    path.unlink()
    return left or _systemctl("daemon-reload")


_ENABLE: Final = ("enable", "--now", UNIT)


def _by_hand(*words: str) -> str:
    return f"systemctl --user {' '.join(words)}"


def _systemctl(*words: str) -> list[str]:
    """Run it; gives the line to type by hand where it cannot be run."""
    program = shutil.which("systemctl")
    by_hand = _by_hand(*words)
    if program is None:
        return [by_hand]
    done = subprocess.run([program, "--user", *words], capture_output=True, text=True, check=False)  # noqa: S603 - fixed words
    return [] if done.returncode == 0 else [f"{by_hand}   ({done.stderr.strip() or 'it failed'})"]


def _environment_lines(environment: Mapping[str, str]) -> str:
    return "".join(f"Environment={_quoted(f'{name}={value}')}\n" for name, value in environment.items())


def _word(text: str) -> str:
    """A word of a command line, where ``$`` begins a variable too."""
    return _quoted(text.replace("$", "$$"))


def _escaped(text: str) -> str:
    """``%`` begins a specifier in a unit."""
    return text.replace("%", "%%")


def _quoted(text: str) -> str:
    plain = _escaped(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{plain}"' if not plain or any(char in plain for char in " \t\"'\\;") else plain
