"""The runtime as the command line talks to it: HTTP over its private socket file, with the standard library only."""

from __future__ import annotations

import json
import os
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import quote, urlencode

from orchestrator.app.answer import LOGS, STATUS, Answer, RuntimeHangs, told_as_ours
from orchestrator.app.lock import read_about
from orchestrator.app.patience import Hangs, Lives, Patience, SocketConnection
from orchestrator.app.replies import read_error, read_event, read_result
from orchestrator.app.version import program_version
from orchestrator.core.approval import Verdict
from orchestrator.core.blueprint import Blueprint
from orchestrator.core.errors import DeployError, OrchestratorError, RuntimeUnavailable, RuntimeVersionClash
from orchestrator.core.event import Event
from orchestrator.core.request import Request, Result
from orchestrator.deploy.wanted import Wanted
from orchestrator.plan.observed import ObservedState
from orchestrator.ports.host import SOCKET_NAME, Folders

ANSWER_SECONDS: Final = 30.0
"""How long a plain answer may take."""
OBSERVE_SECONDS: Final = 120.0
"""How long it may take to observe: it may be busy with another apply, and shows life meanwhile."""
SILENT_SECONDS: Final = 10.0
"""How long an answer of many lines may stand still: the runtime sends a sign of life more often."""
GLANCE_SECONDS: Final = 2.0
"""How long it may take to say that it is there."""
GRACE_SECONDS: Final = 2.0
"""How much longer than its own time-out the answer to a request may take."""
_FIRST_SECONDS: Final = 1.0
"""How long a sign of life may take until who waits is told."""
_LEAST_SECONDS: Final = 0.001
"""What is left for an answer where its time is over already: then it is told so."""
_BUSY: Final = 3
"""Signs of life without an answer after which who waits is told."""
Listen = Callable[[Event], None]
Tell = Callable[[str], None]


def _silently(event: Event) -> None:
    del event


def _untold(line: str) -> None:
    del line


class RuntimeClient:
    """One runtime, by its folders. Every method opens a connection of its own, so that threads may share a client.

    Raises ``RuntimeUnavailable`` where no runtime answers, and what the runtime itself raised. ``tell`` hears a line where
    an answer lets wait.
    """

    def __init__(self, folders: Folders, version: str = "", tell: Tell = _untold) -> None:
        self.folders = folders
        self.socket = folders.runtime / SOCKET_NAME
        self._version = version or program_version()
        self._tell = tell

    # -- looking ----------------------------------------------------------------------------------------------------

    def answers(self) -> bool:
        """Whether a runtime answers; a socket that a killed one left does not count. Another user's raises, and
        ``RuntimeHangs`` is raised where one is there that says nothing."""
        return bool(self.state())

    def state(self) -> str:
        """``starting``, ``ready``, ``stopping``, or an empty text where none answers. Raises as ``answers``."""
        try:
            return str(self.about(timeout=GLANCE_SECONDS)["state"])
        except RuntimeHangs:
            raise
        except RuntimeUnavailable:
            self._check_owner()
            return ""

    def about(self, timeout: float | None = None) -> dict[str, Any]:
        """Its version, process, port, address and state (``starting``, ``ready``, ``stopping``)."""
        return self._get("/version", timeout=timeout)

    def observed(self, deployment: str = "") -> ObservedState:
        """What it sees for a deployment that is applied."""
        return ObservedState.from_json(self._get("/observed", deployment=deployment))

    def observe(self, blueprint: Blueprint) -> ObservedState:
        """What it sees for a blueprint that may not be applied yet: plan from that."""
        patience = Patience(OBSERVE_SECONDS, lives=self._asked())
        with self._call("POST", "/observe", {"blueprint": blueprint.as_json()}, patience) as answer:
            return ObservedState.from_json(answer.value())

    def status(self) -> dict[str, Any]:
        """``runtime`` (see :meth:`about`) and ``deployments``."""
        return self._get("/status")

    def fleet(self) -> dict[str, Any] | None:
        """The fleet as this node sees it; ``None`` where this machine belongs to none, or no runtime answers."""
        if not self.answers():
            return None
        found: dict[str, Any] | None = self._get("/fleet")["fleet"]
        return found

    def history(self, name: str) -> list[dict[str, Any]]:
        """Revisions of a deployment, newest first."""
        revisions: list[dict[str, Any]] = self._get("/history", name=name)["revisions"]
        return revisions

    def to_try(self, name: str) -> dict[str, Any] | None:
        """A request that the deployment answers, see ``serve/trying.py``; ``None`` where it does not run here."""
        found: dict[str, Any] | None = self._get("/try", name=name)["try"]
        return found

    def find_run(self, run: str) -> dict[str, Any]:
        """A stored run, by its id or a unique beginning of it."""
        found: dict[str, Any] = self._get(f"/runs/{quote(run, safe='')}")["run"]
        return found

    def recent_runs(self, name: str, count: int = 20) -> list[dict[str, Any]]:
        """The newest runs of a deployment."""
        runs: list[dict[str, Any]] = self._get("/runs", name=name, count=str(count))["runs"]
        return runs

    def report(self, name: str, last: int | None, since: float) -> dict[str, Any]:
        """``runs``, the newest first, without their words, and the ``models`` of the manifest. ``since`` is seconds since 1970."""
        query = {"name": name, "since": str(since)} | ({} if last is None else {"last": str(last)})
        return self._get("/report", None, **query)

    def logs(self, name: str, lines: int = 100, *, follow: bool = False, node: str = "") -> Iterator[dict[str, Any]]:
        """Events of a deployment, of a fleet's on all nodes or on one; with ``follow`` those that come, until the caller leaves."""
        query = urlencode({"name": name, "lines": lines, "follow": int(follow), "node": node})
        with self._call("GET", f"/logs?{query}") as answer:
            yield from answer.lines()

    def approvals(self, name: str = "", *, closed: bool = False) -> list[dict[str, Any]]:
        """What waits for people, of one deployment or of all, newest first; with ``closed`` also what did."""
        found: list[dict[str, Any]] = self._get("/approvals", name=name, all=str(int(closed)))["approvals"]
        return found

    def approval(self, approval: str) -> dict[str, Any]:
        """One of them, by its id or a unique beginning of it."""
        found: dict[str, Any] = self._get(f"/approvals/{quote(approval, safe='')}")["approval"]
        return found

    def deliveries(self, name: str = "", *, closed: bool = False) -> list[dict[str, Any]]:
        """What waits for a target that is away, of one deployment or of all, newest first; with ``closed`` also what did."""
        found: list[dict[str, Any]] = self._get("/outbox", name=name, all=str(int(closed)))["deliveries"]
        return found

    def delivery(self, delivery: str) -> dict[str, Any]:
        """One of them with its ``audit``, by its id or a unique beginning of it."""
        found: dict[str, Any] = self._get(f"/outbox/{quote(delivery, safe='')}")["delivery"]
        return found

    # -- acting -----------------------------------------------------------------------------------------------------

    def apply(
        self, wanted: Wanted, listen: Listen = _silently, timeout: float | None = None, since: float | None = None
    ) -> dict[str, Any]:
        """Apply a blueprint; gives ``name``, ``revision``, ``plan``, and in ``try`` a request to try (``serve/trying.py``).
        ``timeout``, in seconds from ``since`` (of ``time.monotonic``; now), ends the waiting only: the runtime goes on."""
        body = {
            "blueprint": wanted.blueprint.as_json(),
            "sources": dict(wanted.sources),
            "origin": wanted.origin,
            "plan": wanted.expected,
        }
        return self._in_time("/apply", body, listen, timeout, since)

    def rollback(
        self, name: str, to: int | None = None, listen: Listen = _silently, timeout: float | None = None
    ) -> dict[str, Any]:
        """Apply an earlier revision again (the one that serves or served before, where none is named). ``timeout`` as of
        :meth:`apply`."""
        return self._in_time("/rollback", {"name": name, "to": to}, listen, timeout)

    def down(self, name: str, drain: float = 30.0, listen: Listen = _silently) -> int:
        """Take a deployment down; gives how many requests did not finish in ``drain`` seconds."""
        left: int = self._act("/down", {"name": name, "drain": drain}, listen, None)["left"]
        return left

    def run(self, name: str, request: Request, listen: Listen | None = None) -> Result:
        """Answer a request. ``listen`` hears it piece by piece; an answer of which a piece is out cannot be begun anew, so it is
        whole where nobody listens. Closing the connection (an exception in ``listen``, Ctrl-C) cancels it."""
        body = {"name": name, "request": request_json(request), "pieces": listen is not None}
        limit = None if request.timeout is None else request.timeout + GRACE_SECONDS
        try:
            return read_result(self._told("/run", body, listen or _silently, limit))
        except RuntimeHangs as error:
            if isinstance(error.__cause__, Hangs):
                raise
            state = self.state()  # raises where it hangs indeed
            message = f"the runtime ({state}) gave no answer within {request.timeout or SILENT_SECONDS:g} s"
            raise self._fitted(RuntimeUnavailable(message, cure=CURES[state])) from error

    def decide(self, approval: str, verdict: Verdict) -> dict[str, Any]:
        """Note a verdict on what waits for a person. Raises ``NoSuchApproval`` and ``ApprovalClosed``."""
        body = {"by": verdict.by, "text": verdict.text, "digest": verdict.digest}
        with self._call("POST", f"/approvals/{quote(approval, safe='')}/{verdict.act}", body) as answer:
            found: dict[str, Any] = answer.value()["approval"]
            return found

    def cancel_delivery(self, delivery: str, by: str = "") -> dict[str, Any]:
        """Take back what waits for its target. Raises ``NoSuchDelivery`` and ``DeliveryClosed``."""
        with self._call("POST", f"/outbox/{quote(delivery, safe='')}/cancel", {"by": by}) as answer:
            found: dict[str, Any] = answer.value()["delivery"]
            return found

    def retry_deliveries(self, delivery: str = "", name: str = "") -> int:
        """Try at once what waits for its target: one, all of a deployment, or all; gives how many."""
        path = f"/outbox/{quote(delivery, safe='')}/retry" if delivery else "/outbox/retry"
        with self._call("POST", path, {"name": name}) as answer:
            return int(answer.value()["count"])

    def label(self, run: str, *, right: bool, agent: str = "", router: str = "", by: str = "") -> dict[str, Any]:
        """Note that an answer, or whom a router chose, was right or wrong. Raises ``NothingToLabel``."""
        body = {"run": run, "right": right, "agent": agent, "router": router, "by": by}
        with self._call("POST", "/label", body) as answer:
            found: dict[str, Any] = answer.value()["label"]
            return found

    def calibrate(self, name: str, target: float, wrong: float) -> dict[str, Any]:
        """Fit on what is labelled; gives ``scales``."""
        return self._told("/calibrate", {"name": name, "target": target, "wrong": wrong}, _silently, None)

    def wait(self, run: str, timeout: float | None = None) -> dict[str, Any]:
        """The stored form of a run once it waits for nothing any more. Raises ``RuntimeUnavailable`` where ``timeout`` seconds
        are over before, or the runtime ends: the run waits on."""
        try:
            return self._told("/wait", {"run": run}, _silently, timeout)
        except RuntimeHangs as error:
            if isinstance(error.__cause__, Hangs) or timeout is None:
                raise
            why = f"{run} still waits after {timeout:g} s; it waits on"
            raise RuntimeUnavailable(why, cure=f"orchestrator explain run {run}") from error
        except RuntimeUnavailable as error:
            raise self._fitted(waits_on(run, error)) from error

    def stop(self, drain: float | None = None) -> None:
        """Ask it to end; it drains first. Returns at once."""
        with self._call("POST", "/stop", {"drain": drain}) as answer:
            answer.value()

    # -- inside, acting ---------------------------------------------------------------------------------------------

    def _in_time(
        self, path: str, body: Mapping[str, Any], listen: Listen, timeout: float | None, since: float | None = None
    ) -> dict[str, Any]:
        began = time.monotonic() if since is None else since
        limit = None if timeout is None else max(_LEAST_SECONDS, began + timeout - time.monotonic())
        try:
            return self._act(path, body, listen, limit)
        except RuntimeHangs as error:
            if timeout is None or time.monotonic() - began < timeout:
                raise
            late = DeployError(f"the runtime did not finish in {timeout:g} s; it goes on", cure=f"{STATUS}; {LOGS}")
            raise self._fitted(late) from error

    # -- inside -----------------------------------------------------------------------------------------------------

    def _fitted(self, error: OrchestratorError) -> OrchestratorError:
        """The error as it is told for this runtime: one that is reached in another way has other cures."""
        return error

    def _act(self, path: str, body: Mapping[str, Any], listen: Listen, limit: float | None) -> dict[str, Any]:
        self._check_version()
        return self._told(path, body, listen, limit)

    def _told(self, path: str, body: Mapping[str, Any], listen: Listen, limit: float | None) -> dict[str, Any]:
        patience = Patience(SILENT_SECONDS, limit, self._asked())
        with self._call("POST", path, body, patience) as answer:
            for entry in answer.lines():
                if entry["kind"] == "end":
                    value: dict[str, Any] = entry["value"]
                    return value
                if entry["kind"] == "error":
                    raise read_error(entry["error"])
                listen(read_event(entry))
        raise self._fitted(RuntimeUnavailable("the runtime ended in the middle of its answer", cure=LOGS))

    def _get(self, path: str, timeout: float | None = None, **query: str) -> dict[str, Any]:
        limit = ANSWER_SECONDS if timeout is None else timeout
        patience = Patience(limit, limit, self._asked() if timeout is None else None)
        with self._call("GET", f"{path}?{urlencode(query)}" if query else path, patience=patience) as answer:
            return answer.value()

    @contextmanager
    def _call(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, patience: Patience | None = None
    ) -> Iterator[Answer]:
        self._check_owner()
        patience = patience or Patience(SILENT_SECONDS, lives=self._asked())
        connection = SocketConnection(self.socket, patience)
        headers = {"Content-Type": "application/json"} if body is not None else {}
        content = json.dumps(body).encode() if body is not None else None
        try:
            with told_as_ours(patience):
                connection.request(method, path, content, headers)
                response = connection.getresponse()
                connection.answering()
                if response.status >= 400:
                    raise read_error(json.loads(response.read()).get("error", {}))
            yield Answer(response, patience)
        except OrchestratorError as error:
            self._fitted(error)
            raise
        finally:
            connection.close()

    def _asked(self) -> Lives:
        """Asks for one call whether the runtime lives; who waits is told where it does not say so, or is busy."""
        signs = 0

        def lives(within: float) -> bool:
            nonlocal signs
            first = min(_FIRST_SECONDS, within)
            if not self._shows_life(first):
                self._tell(WAITS)
                return within > first and self._shows_life(within - first)
            signs += 1
            if signs == _BUSY:
                self._tell(BUSY)
            return True

        return lives

    def _shows_life(self, within: float) -> bool:
        """Whether it says within some seconds that it is there. One that has ended does not hang: its answer ends by itself."""
        try:
            self.about(timeout=within)
        except RuntimeHangs:
            return False
        except RuntimeUnavailable:
            return True
        return True

    def _check_owner(self) -> None:
        """Never talk to a socket that another user made: it would see our manifests and requests."""
        if not hasattr(os, "geteuid"):
            return
        try:
            found = self.socket.lstat()
        except OSError:
            return
        if found.st_uid != os.geteuid():
            raise RuntimeUnavailable(
                f"the runtime at {self.socket} belongs to another user (uid {found.st_uid})",
                cure="set ORCHESTRATOR_HOME to a folder that you own",
            )
        if not stat.S_ISSOCK(found.st_mode):
            raise RuntimeUnavailable(f"{self.socket} is no socket", cure=f"move {self.socket} away")

    def _check_version(self) -> None:
        running = self.about()["version"]
        if running != self._version:
            clash = RuntimeVersionClash(
                f"the running runtime is version {running}, this command is {self._version}",
                cure="orchestrator runtime stop, then try again: what is applied comes back with the new version",
            )
            raise self._fitted(clash)


CURES: Final = {
    "starting": "orchestrator status says what it waits for; try again when it is ready",
    "ready": "orchestrator status; try again with a longer --timeout",
    "stopping": "it takes nothing new: orchestrator runtime start once it has ended, then try again",
    "": "orchestrator runtime start, then try again",
}
"""For a request without an answer, by the state of the runtime."""
WAITS: Final = "the runtime does not answer: waiting a few seconds more"
BUSY: Final = "the runtime is busy: waiting for its answer"


def waits_on(run: str, error: RuntimeUnavailable) -> RuntimeUnavailable:
    """The runtime was lost while somebody waited for a run, which is on the disk: where to find it again."""
    return RuntimeUnavailable(
        f"{run} waits on, and goes on with the next start of the runtime; nobody is told here how it ends: {error.message}",
        cure=f"orchestrator runtime start; then orchestrator approvals list (or outbox list) shows what it waits for, "
        f"orchestrator explain run {run} how it ended, and orchestrator logs NAME -f when",
    )


def request_json(request: Request) -> dict[str, Any]:
    """A request in plain form."""
    return request.as_json()


def last_known(folders: Folders) -> dict[str, Any] | None:
    """What the last runtime said of itself, whether it still runs or not."""
    return read_about(folders.runtime)
