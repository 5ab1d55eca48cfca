"""The systemd user unit that starts the runtime when the user logs in (or at boot, with lingering)."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from orchestrator.core.errors import DeployError
from orchestrator.ports.host import Folders

UNIT: Final = "orchestrator.service"
_TEXT: Final = """\
# Written by `orchestrator runtime install`; `orchestrator runtime uninstall` removes it.
[Unit]
Description=Orchestrator runtime: serves the applied deployments
After=network.target

[Service]
Type=notify
NotifyAccess=main
ExecStart={python} -P -m orchestrator.app.runtime --foreground
EnvironmentFile=-{environment}
{home}Restart=on-failure
RestartSec=2
TimeoutStopSec=60
KillMode=mixed
UMask=0077
NoNewPrivileges=yes
PrivateTmp={private_tmp}
ProtectSystem=strict
ReadWritePaths={writable}
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


def unit_text(folders: Folders, home: str = "", python: str = sys.executable) -> str:
    """The unit's text. ``home`` is ``ORCHESTRATOR_HOME`` where the user has set it.

    Options that drop capabilities are left out: a user's own process has none, and a user's service manager cannot drop
    them and would refuse to start the unit. The system is read-only to it but for its own folders; files that tools
    write elsewhere need a ``ReadWritePaths`` of their own (``systemctl --user edit orchestrator``). A runtime folder
    below ``/tmp`` rules out a private one. Model servers that the runtime starts are in the unit too: its memory has no
    limit, only the runtime is asked to end (it ends them after the requests in flight), and after a crash systemd ends
    them before the runtime is started again.
    """
    writable = dict.fromkeys([folders.state, folders.config, folders.runtime])
    return _TEXT.format(
        python=_quoted(python),
        environment=_escaped(str(folders.config / "environment")),
        home=f"Environment={_quoted(f'ORCHESTRATOR_HOME={home}')}\n" if home else "",
        writable=" ".join(_quoted(str(path)) for path in writable),
        private_tmp="no" if folders.runtime.is_relative_to("/tmp") else "yes",  # noqa: S108 - compared, not used
    )


def unit_path(config_home: Path) -> Path:
    """Where the user's own units are: ``config_home`` is ``$XDG_CONFIG_HOME`` or ``~/.config``."""
    return config_home / "systemd" / "user" / UNIT


def install(path: Path, text: str) -> list[str]:
    """Write the unit, and start it now and at each login. Gives what is left to do by hand."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    left = _systemctl("daemon-reload") or _systemctl("enable", "--now", UNIT)
    return [*left, "to start it at boot, before a login: loginctl enable-linger"]


def uninstall(path: Path) -> list[str]:
    """Stop it, and remove the unit. Raises ``DeployError`` where none is installed."""
    if not path.exists():
        raise DeployError(f"no unit is installed at {path}", cure="nothing is to be done")
    left = _systemctl("disable", "--now", UNIT)
    path.unlink()
    return left or _systemctl("daemon-reload")


def _systemctl(*words: str) -> list[str]:
    """Run it; gives the line to type by hand where it cannot be run."""
    program = shutil.which("systemctl")
    by_hand = f"systemctl --user {' '.join(words)}"
    if program is None:
        return [by_hand]
    done = subprocess.run([program, "--user", *words], capture_output=True, text=True, check=False)  # noqa: S603 - fixed words
    return [] if done.returncode == 0 else [f"{by_hand}   ({done.stderr.strip() or 'it failed'})"]


def _escaped(text: str) -> str:
    """``%`` begins a specifier in a unit."""
    return text.replace("%", "%%")


def _quoted(text: str) -> str:
    plain = _escaped(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{plain}"' if any(char in plain for char in " \t\"'\\") else plain
