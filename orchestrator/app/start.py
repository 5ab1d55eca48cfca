"""Start the runtime in the background where none runs, find it where one does, and stop it."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

from orchestrator.app.answer import RuntimeHangs
from orchestrator.app.client import RuntimeClient, last_known
from orchestrator.app.lock import RuntimeLock
from orchestrator.app.printed import begin, last_words
from orchestrator.app.rotating import LARGEST
from orchestrator.app.told import TOLD, Told
from orchestrator.core.errors import AnotherRuns, OrchestratorError, RuntimeUnavailable
from orchestrator.core.quantity import format_size
from orchestrator.deploy.supervisor_rules import END_SECONDS
from orchestrator.plugins.hosts.local import home_in_full
from orchestrator.ports.host import Folders, Host, ProcessIdentity, make_private
from orchestrator.ports.log_file import cut

RUNTIME: Final = "runtime"
"""The folder of its servers' records, below that of all others."""
START_SECONDS: Final = 15.0
LEAST_FREE: Final = 1_000_000
"""Bytes without which a runtime cannot even write down why it does not start."""
_GLANCE: Final = 0.02
_TRY_AGAIN: Final = 0.5
"""Seconds until a start is tried again where another command was faster and does not answer yet."""
KEPT: Final = frozenset(
    {
        *(
            "OLLAMA_HOST",
            "LLAMA_SERVER_URL",
            "VLLM_URL",
            "LM_STUDIO_URL",
            "FOUNDRY_LOCAL_ENDPOINT",
            "MLX_URL",
            "OVMS_URL",
        ),
        *("LEMONADE_URL", "LLAMA_SWAP_URL", "LOCALAI_URL", "LITELLM_URL", "MODEL_RUNNER_URL"),
        *("ONNX_MODELS", "OPENVINO_MODELS", "OPENVINO_DEVICE", "FOUNDRY_LOCAL_PYTHON", "FOUNDRY_LOCAL_CATALOG"),
        *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "SYSTEMROOT"),
        *("LANG", "LANGUAGE", "TZ", "TMPDIR", "TEMP", "TMP"),
        *("VIRTUAL_ENV", "PYTHONPATH", "PYTHONWARNINGS"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "DBUS_SESSION_BUS_ADDRESS"),
        *("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "OLLAMA_MODELS", "HF_HOME", "HF_HUB_OFFLINE"),
    }
)
"""Variables that a background runtime gets of a shell. The first are those of model servers, written again here, as a command
that starts a runtime would need half of the program to ask their makes; a test compares."""
_KEPT_BEGINNINGS: Final = ("ORCHESTRATOR_", "XDG_", "LC_", "COVERAGE_", "CUDA_", "NVIDIA_", "HIP_", "ROCR_", "HSA_")


def ensure_runtime(
    host: Host, environment: Mapping[str, str] | None = None, deadline: float = START_SECONDS
) -> RuntimeClient:
    """A client of the running runtime, which is started where none runs.

    The runtime gets a clean environment: secrets of this shell do not go with it, as they would be gone after a reboot
    (``env:`` references are looked up in the file ``environment`` of the config folder). Raises ``RuntimeUnavailable``
    with the reason that it told, or because one is there that says nothing.
    """
    folders = host.folders()
    with ExitStack() as stack:
        start = _Start(host, folders, os.environ if environment is None else environment, stack)
        return _answering(RuntimeClient(folders), start, deadline)


def _answering(client: RuntimeClient, start: _Start, deadline: float) -> RuntimeClient:
    end = time.monotonic() + deadline
    silent: RuntimeUnavailable | None = None
    while time.monotonic() < end:
        try:
            if client.answers():
                return client
            silent = None
        except RuntimeHangs as error:  # it may also be one that another command has just started
            silent = error
        if start.begun:
            start.look()
        elif silent is None:
            start.begin()
        time.sleep(_GLANCE)
    raise silent or RuntimeUnavailable(
        f"the runtime did not answer within {deadline:g} s", cure="orchestrator runtime logs"
    )


class _Start:
    """A start of a runtime. Where another command was faster its process ends at once: then we wait for the other one, and
    try again from time to time, because that one may fail to start."""

    def __init__(self, host: Host, folders: Folders, environment: Mapping[str, str], stack: ExitStack) -> None:
        self._host = host
        self._folders = folders
        self._environment = environment
        self._stack = stack
        self._log = start_log(folders)
        self._again = float("inf")
        self.begun = False

    def begin(self) -> None:
        """Begin it. Raises ``DeployError`` where no process can be started."""
        make_private(self._log.parent)
        with suppress(OSError):  # the start says it
            cut(self._log, LARGEST)
            begin(self._log)
        self._told = Told(self._folders.runtime)
        self._stack.callback(self._told.remove)
        self._spawn()
        self.begun = True

    def _spawn(self) -> None:
        argv = [sys.executable, "-P", "-m", "orchestrator.app.runtime", TOLD, str(self._told.path)]
        self._process = self._host.spawn_detached(argv, clean_environment(self._environment), self._log)

    def look(self) -> None:
        """Raise ``RuntimeUnavailable`` with the reason where it has ended for one of its own."""
        if self._host.alive(self._process):
            return
        if self._again < time.monotonic():
            self._again = float("inf")
            self._spawn()
        elif self._again == float("inf"):
            error = self._told.read()
            if not isinstance(error, AnotherRuns):
                raise self._failed(error)
            self._again = time.monotonic() + _TRY_AGAIN

    def _failed(self, error: OrchestratorError | None) -> RuntimeUnavailable:
        see = f"see {self._log}"
        if error is None:  # a crash of Python or of a library: for a person its last words are the best that there is
            full = why_full(self._folders.state, shutil.disk_usage(self._folders.state).free)
            if full:  # then it had nowhere to say so
                return RuntimeUnavailable(f"the runtime did not start: {full}", cure="free some space there")
            last = last_words(self._log)
            ends = f"its last words: {last}" if last else "it said nothing"
            return RuntimeUnavailable(f"the runtime did not start and gave no reason; {ends}", cure=see)
        return RuntimeUnavailable(f"the runtime did not start: {error.message}", cure=error.cure or see)


def why_full(folder: Path, free: int) -> str:
    """Why nothing can be written there with so many bytes ``free``; empty where it can."""
    return f"the disk that holds {folder} is full ({format_size(free)} free)" if free < LEAST_FREE else ""


def stop_runtime(host: Host, patience: float = 30.0) -> bool:
    """End the runtime, letting requests finish for ``patience`` seconds and its servers end; tells whether one ran. A
    runtime that does not answer is ended all the same, and what one that was killed left running."""
    folders = host.folders()
    client = RuntimeClient(folders)
    process = running_process(host, folders)
    if not _hangs(client) and client.answers():
        process = ProcessIdentity(client.about()["pid"], client.about()["process_started"])
        client.stop(patience)
        end = time.monotonic() + patience + END_SECONDS + 5.0
        while host.alive(process) and time.monotonic() < end:
            time.sleep(_GLANCE)
    if process is not None:
        host.stop(process, 2.0)
    _end_servers(folders)
    return process is not None


def _end_servers(folders: Folders) -> None:
    """Those of a runtime that could not end them itself: it hung, or was killed. None where a runtime has the lock: then it is
    another one, which has begun meanwhile, and they are its own."""
    records, links = folders.state / "servers" / RUNTIME, folders.state / "fleet" / "servers"
    if not any(each for folder in (records, links) for each in folder.glob("*.json")):
        return
    from orchestrator.app.fleet.records import end_left
    from orchestrator.deploy.server_records import end_recorded
    from orchestrator.plugins.hosts.processes import LocalProcesses

    lock = RuntimeLock(folders.runtime)
    try:
        lock.take()
    except AnotherRuns:
        return
    try:
        end_recorded(records, LocalProcesses())
        for record in links.glob("*.json"):
            end_left(links, record.stem, LocalProcesses())
    finally:
        lock.free()


def _hangs(client: RuntimeClient) -> bool:
    try:
        client.answers()
    except RuntimeHangs:
        return True
    return False


def running_process(host: Host, folders: Folders) -> ProcessIdentity | None:
    """The process of the last runtime, if exactly that one still lives; its number alone could be another's by now."""
    about = last_known(folders)
    if about is None or not about.get("process_started"):
        return None
    process = ProcessIdentity(int(about["pid"]), float(about["process_started"]))
    return process if host.alive(process) else None


def clean_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """What a background process may have of this shell's environment: it stands in another folder, so that its home is told in
    full."""
    kept = {name: value for name, value in environment.items() if name in KEPT or name.startswith(_KEPT_BEGINNINGS)}
    if kept.get("ORCHESTRATOR_HOME"):
        kept["ORCHESTRATOR_HOME"] = str(home_in_full(kept["ORCHESTRATOR_HOME"]))
    return kept


def start_log(folders: Folders) -> Path:
    """Where a runtime's output goes: what it says before it can log, what kills it, and what its tools print."""
    return folders.state / "logs" / "runtime-start.log"
