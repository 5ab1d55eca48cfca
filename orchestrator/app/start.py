"""Start the runtime in the background where none runs, find it where one does, and stop it."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from orchestrator.app.client import RuntimeClient, last_known
from orchestrator.app.rotating import cut
from orchestrator.core.errors import RuntimeUnavailable
from orchestrator.ports.host import Folders, Host, ProcessIdentity

START_SECONDS: Final = 15.0
_GLANCE: Final = 0.02
_KEPT: Final = frozenset(
    {
        *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "SYSTEMROOT"),
        *("LANG", "LANGUAGE", "TZ", "TMPDIR", "TEMP", "TMP"),
        *("VIRTUAL_ENV", "PYTHONPATH", "PYTHONWARNINGS"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "DBUS_SESSION_BUS_ADDRESS"),
        *("OLLAMA_HOST", "LLAMA_SERVER_URL", "VLLM_URL", "LM_STUDIO_URL", "FOUNDRY_LOCAL_ENDPOINT"),
    }
)
_KEPT_BEGINNINGS: Final = ("ORCHESTRATOR_", "XDG_", "LC_", "COVERAGE_")


def ensure_runtime(
    host: Host, environment: Mapping[str, str] | None = None, deadline: float = START_SECONDS
) -> RuntimeClient:
    """A client of the running runtime, which is started where none runs.

    The runtime gets a clean environment: secrets of this shell do not go with it, as they would be gone after a reboot
    (``env:`` references are looked up in the file ``environment`` of the config folder). Raises ``RuntimeUnavailable``
    with the reason from its log.
    """
    folders = host.folders()
    client = RuntimeClient(folders)
    if client.answers():
        return client
    log = start_log(folders)
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with suppress(OSError):  # the start says it
        cut(log)
    before = log.stat().st_size if log.exists() else 0
    argv = [sys.executable, "-P", "-m", "orchestrator.app.runtime"]
    process = host.spawn_detached(argv, clean_environment(os.environ if environment is None else environment), log)
    end = time.monotonic() + deadline
    while time.monotonic() < end:
        if client.answers():
            return client
        if not host.alive(process):
            return _other_or_reason(client, log, before)
        time.sleep(_GLANCE)
    raise RuntimeUnavailable(
        f"the runtime (process {process.pid}) did not answer within {deadline:g} s", cure="orchestrator runtime logs"
    )


def stop_runtime(host: Host, patience: float = 30.0) -> bool:
    """End the runtime, letting requests finish for ``patience`` seconds; tells whether one ran. A runtime that does not
    answer is ended all the same."""
    folders = host.folders()
    client = RuntimeClient(folders)
    process = running_process(host, folders)
    if client.answers():
        process = ProcessIdentity(client.about()["pid"], client.about()["process_started"])
        client.stop(patience)
        end = time.monotonic() + patience + 5.0
        while host.alive(process) and time.monotonic() < end:
            time.sleep(_GLANCE)
    if process is None:
        return False
    host.stop(process, 2.0)
    return True


def running_process(host: Host, folders: Folders) -> ProcessIdentity | None:
    """The process of the last runtime, if exactly that one still lives; its number alone could be another's by now."""
    about = last_known(folders)
    if about is None or not about.get("process_started"):
        return None
    process = ProcessIdentity(int(about["pid"]), float(about["process_started"]))
    return process if host.alive(process) else None


def clean_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """What a background process may have of this shell's environment."""
    return {name: value for name, value in environment.items() if name in _KEPT or name.startswith(_KEPT_BEGINNINGS)}


def start_log(folders: Folders) -> Path:
    """Where a runtime's output goes: what it says before it can log, what kills it, and what its tools print."""
    return folders.state / "logs" / "runtime-start.log"


def _other_or_reason(client: RuntimeClient, log: Path, before: int) -> RuntimeClient:
    """Ours has ended: perhaps because another one was faster, which is as good."""
    if client.answers():
        return client
    reason, cure = _reason(log, before)
    raise RuntimeUnavailable(f"the runtime did not start: {reason}", cure=cure or f"see {log}")


def _reason(log: Path, before: int) -> tuple[str, str]:
    with log.open("rb") as file:
        file.seek(before)
        lines = [text.strip() for text in file.read().decode(errors="replace").splitlines() if text.strip()]
    cure = next((text.removeprefix("= ") for text in lines if text.startswith("= ")), "")
    said = next((text for text in lines if text.startswith("error[")), lines[-1] if lines else "it said nothing")
    return said.partition("]: ")[2] or said, cure
