"""A runtime's life: ready, drain, stop, hurry; drift of model servers; logs; what it costs while idle."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from orchestrator.app.client import RuntimeClient
from orchestrator.app.lock import RuntimeLock
from orchestrator.app.runtime import Place, Runtime, run_until_stopped
from orchestrator.app.settings import Settings
from orchestrator.app.start import stop_runtime
from orchestrator.app.wiring import Planes
from orchestrator.core.errors import DeployError, NoSuchDeployment, RuntimeUnavailable, UsageError
from orchestrator.core.request import Request, Result
from orchestrator.deploy.wanted import Wanted
from orchestrator.plugins.hosts.local import LocalHost
from tests.plan.parts import agent, blueprint, model, rule, tool
from tests.runtime.living import Home, eventually, free_port
from tests.servers.yard import Place as ServerPlace
from tests.servers.yard import with_server

SHOP = blueprint(agent("a", reflex=[rule("hello")]), name="shop")


def _ask(base: str, path: str) -> int:
    try:
        with urllib.request.urlopen(f"{base}{path}", timeout=5) as response:
            status: int = response.status
            return status
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def _front(client: RuntimeClient) -> str:
    return f"http://127.0.0.1:{client.about()['port']}"


@pytest.fixture
def slow_model() -> Iterator[str]:
    """A model server that takes 0.6 s for an answer."""
    argv = [sys.executable, "-m", "orchestrator.testing.simulated_server", "--model", "slow", "--ttft", "600ms"]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


def _slow_shop(url: str) -> Any:
    return blueprint(
        model("slow", ids={"*": ["slow"]}, endpoint=url), agent("a", models=["slow"]), agent("b"), name="shop"
    )


class Asking(threading.Thread):
    """A request in the background."""

    def __init__(self, client: RuntimeClient) -> None:
        super().__init__(daemon=True)
        self._client = client
        self.begun = threading.Event()
        self.result: Result | None = None
        self.error: Exception | None = None
        self.start()
        assert self.begun.wait(5)

    def run(self) -> None:
        try:
            self.result = self._client.run("shop", Request("hi", agent="a"), lambda _: self.begun.set())
        except Exception as error:  # noqa: BLE001 - the test looks at it
            self.error = error
            self.begun.set()


def test_a_stop_lets_requests_finish_and_takes_no_new_ones(home: Home, slow_model: str) -> None:
    """`/ready` is 503 at once, the request in work ends well, the exit code is 0, nothing is left behind."""
    client = home.start()
    client.apply(Wanted(_slow_shop(slow_model)))
    front = _front(client)
    assert _ask(front, "/ready") == 200
    asking = Asking(client)
    home.processes[-1].send_signal(signal.SIGTERM)
    eventually(lambda: client.state() == "stopping")
    assert _ask(front, "/ready") == 503 and _ask(front, "/health") == 200
    for act in (lambda: client.run("shop", Request("hi")), lambda: client.apply(Wanted(_slow_shop(slow_model)))):
        with pytest.raises(RuntimeUnavailable, match=r"the runtime is stopping: .* it takes nothing new") as caught:
            act()
        assert caught.value.cure.startswith("orchestrator runtime start, once it has ended")
    eventually(lambda: [each["state"] for each in client.status()["deployments"]] == ["stopping"])
    assert client.about()["since"] > client.about()["started"]
    asking.join()
    assert asking.result is not None and asking.result.status == "completed"
    assert home.processes[-1].wait(5) == 0
    assert not client.socket.exists()


def test_a_second_signal_ends_it_soon(home: Home) -> None:
    """A request that would take half a minute does not hold it."""
    argv = [sys.executable, "-m", "orchestrator.testing.simulated_server", "--model", "slow", "--ttft", "60s"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        client = home.start()
        client.apply(Wanted(_slow_shop(process.stdout.readline().strip())))
        asking = Asking(client)
        runtime = home.processes[-1]
        runtime.send_signal(signal.SIGTERM)
        eventually(lambda: client.state() == "stopping")
        began = time.monotonic()
        runtime.send_signal(signal.SIGTERM)
        assert runtime.wait(10) == 0
        assert time.monotonic() - began < 5.0
        asking.join()
        assert asking.result is not None and asking.result.error is not None
        assert asking.result.error["kind"] == "RunCancelled"
        process.kill()


def test_a_client_that_goes_away_cancels_its_run(home: Home, slow_model: str) -> None:
    """The run is stored as cancelled; nothing stays in flight."""

    class Leave(Exception):
        pass

    def leave(_: object) -> None:
        raise Leave

    client = home.start()
    client.apply(Wanted(_slow_shop(slow_model)))
    with pytest.raises(Leave):
        client.run("shop", Request("hi", agent="a"), leave)
    eventually(lambda: client.status()["deployments"][0]["in_flight"] == 0)
    eventually(lambda: bool(client.recent_runs("shop")))
    [event] = [each for each in client.logs("shop") if each["kind"] == "run.finished"]
    assert event["error"]["kind"] == "RunCancelled"
    assert home.stop() == 0
    logs = [home.said(), *(each.read_text() for each in (home.folders.state / "logs").glob("runtime*"))]
    assert not any("Traceback" in log or "BrokenResource" in log for log in logs)


def test_a_down_cancels_what_has_not_finished_when_its_time_is_over(home: Home) -> None:
    """The caller is told so at once, the model server sees the call go, and `down` says how many it were."""
    argv = [sys.executable, "-m", "orchestrator.testing.simulated_server", "--model", "slow", "--ttft", "60s"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        client = home.start()
        client.apply(Wanted(_slow_shop(url)))
        asking = Asking(client)
        began = time.monotonic()
        assert client.down("shop", 0.2) == 1
        asking.join(5)
        assert time.monotonic() - began < 5.0
        assert asking.result is not None and asking.result.error is not None
        assert asking.result.error["kind"] == "RunCancelled" and "stopped" in asking.result.error["message"]
        process.kill()


def test_a_model_server_that_starts_after_the_apply_is_used_and_one_that_ends_is_not(home: Home) -> None:
    """Drift is mended without a new apply."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    client = home.start(ORCHESTRATOR_SERVERS=url, ORCHESTRATOR_LOOK_EVERY="0.1")
    wanted = blueprint(
        model("phi", ids={"*": ["phi"]}), agent("a", models=["phi"], reflex=[rule("rules")]), name="shop"
    )
    client.apply(Wanted(wanted))
    assert client.run("shop", Request("hi")).served_by == "reflex"
    assert client.status()["deployments"][0]["state"] == "degraded"
    argv = [sys.executable, "-m", "orchestrator.testing.simulated_server", "--port", str(port), "--model", "phi"]
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: client.status()["deployments"][0]["state"] == "running")
        assert client.run("shop", Request("hi")).usage.model_calls == 1
    finally:
        process.kill()
        process.wait()
    eventually(lambda: client.status()["deployments"][0]["state"] == "degraded")
    assert client.run("shop", Request("hi")).served_by == "reflex"
    assert [each["number"] for each in client.history("shop")] == [1]


def test_logs_are_followed_as_they_grow(home: Home) -> None:
    """First what was, then what comes, each line once."""
    client = home.start()
    client.apply(Wanted(SHOP))
    client.run("shop", Request("umbrella", id="run_1"))
    lines = client.logs("shop", follow=True)
    seen: list[dict[str, Any]] = []
    while not (seen and seen[-1]["kind"] == "run.finished"):
        seen.append(next(lines))
    client.run("shop", Request("two", id="run_2"))
    while seen[-1]["run"] != "run_2" or seen[-1]["kind"] != "run.finished":
        seen.append(next(lines))
    lines.close()  # type: ignore[attr-defined] # it is a generator
    finished = [each["run"] for each in seen if each["kind"] == "run.finished"]
    assert finished == ["run_1", "run_2"]
    assert "umbrella" not in json.dumps(seen), "what users say is not for the log"


def test_a_run_is_found_by_the_beginning_of_its_id(home: Home) -> None:
    """At once after its answer; and an unknown one says so."""
    client = home.start()
    client.apply(Wanted(SHOP))
    result = client.run("shop", Request("hi"))
    assert client.find_run(result.id[:10])["id"] == result.id
    with pytest.raises(UsageError, match="no run begins with"):
        client.find_run("nothing")


def test_unknown_names_are_refused_with_near_ones(home: Home) -> None:
    """By every verb alike."""
    client = home.start()
    client.apply(Wanted(SHOP))
    with pytest.raises(NoSuchDeployment) as raised:
        client.run("shpo", Request("hi"))
    assert raised.value.cure == 'did you mean "shop"?'
    for ask in (lambda: client.down("shpo"), lambda: client.rollback("shpo"), lambda: client.history("shpo")):
        with pytest.raises(NoSuchDeployment):
            ask()


def test_no_runtime_is_said_as_such(home: Home) -> None:
    """With the line that starts one."""
    with pytest.raises(RuntimeUnavailable, match="no runtime runs") as raised:
        home.client.status()
    assert raised.value.cure == "orchestrator apply FILE starts one"


def test_a_service_manager_is_told_when_it_is_ready_and_when_it_stops(home: Home) -> None:
    """And the log of a foreground runtime is printed."""
    path = str(home.path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        manager.settimeout(10)
        home.start("--foreground", wait="", NOTIFY_SOCKET=path)
        assert manager.recv(100) == b"READY=1"
        home.processes[-1].send_signal(signal.SIGTERM)
        assert manager.recv(100) == b"STOPPING=1"
    assert home.processes[-1].wait(10) == 0
    assert '"event": "ready"' in home.said()


def test_a_deployment_has_a_port_of_its_own(home: Home) -> None:
    """There, only it is served; the runtime's own port serves all."""
    client = home.start()
    port = free_port()
    client.apply(Wanted(blueprint(agent("a", reflex=[rule("hello")]), name="shop", port=port)))
    client.apply(Wanted(blueprint(agent("b", reflex=[rule("other")]), name="other")))
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/models", timeout=5) as response:
        assert [each["id"] for each in json.load(response)["data"]] == ["shop"]
    client.down("shop")
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/models", timeout=5)


def test_a_tools_store_outlives_revisions_and_restarts(home: Home) -> None:
    """It is in the state folder, below the deployment's name."""
    client = home.start()
    say = {**rule("{{ result.number }}"), "call": "tickets.create", "arguments": {"subject": "x", "body": "y"}}
    wanted = blueprint(tool("tickets"), agent("a", tools=["tickets"], reflex=[say]), name="shop")
    client.apply(Wanted(wanted))
    first = client.run("shop", Request("hi"))
    assert home.stop() == 0
    client = home.start()
    second = client.run("shop", Request("hi"))
    assert (first.text, second.text) == ("T-1001", "T-1002")
    assert (home.folders.state / "tools" / "shop" / "tool.tickets").is_dir()


def test_an_idle_runtime_is_small_and_soon_ready(home: Home) -> None:
    """At most 80 MB, ready within 1.5 s of processor time, and none of the heavy libraries loaded."""
    client = home.start()
    client.apply(Wanted(blueprint(tool("tickets"), agent("a", tools=["tickets"], reflex=[rule()]), name="shop")))
    client.run("shop", Request("hi"))
    process = psutil.Process(client.about()["pid"])
    assert process.memory_info().rss < 80_000_000
    assert sum(process.cpu_times()[:2]) < 1.5
    loaded = {Path(each.path).name.partition(".")[0] for each in process.memory_maps() if each.path.endswith(".so")}
    assert not {"_pydantic_core", "rpds"} & loaded
    before = process.cpu_times()
    time.sleep(1.0)  # real time in which it does nothing: what it costs then is what is measured
    after = process.cpu_times()
    assert sum(after[:2]) - sum(before[:2]) <= 0.05


def test_a_hurried_stop_waits_for_a_server_that_ignores_sigterm(home: Home, tmp_path: Path) -> None:
    """It is killed after its grace; the command that stops the runtime does not kill the runtime before."""
    place = ServerPlace(tmp_path)
    path = f"{place.program().parent}:{os.environ['PATH']}"
    place.model(deaf=True)
    home.start(PATH=path).apply(Wanted(with_server(tmp_path, 1)))
    assert len(home.servers()) == 1
    assert stop_runtime(LocalHost(), 0.1)
    assert home.processes[-1].wait(5) == 0
    assert home.servers() == []


def test_a_stop_ends_what_a_killed_runtime_left(home: Home, tmp_path: Path) -> None:
    """Nobody runs, and the servers do: who stops wants neither."""
    place = ServerPlace(tmp_path)
    path = f"{place.program().parent}:{os.environ['PATH']}"
    place.model(children=1)
    home.start(PATH=path).apply(Wanted(with_server(tmp_path, 1)))
    home.kill()
    assert len(home.servers()) == 2
    assert not stop_runtime(LocalHost(), 0.1)
    assert home.servers() == []


def test_a_stop_leaves_the_servers_of_a_runtime_that_has_begun_meanwhile(home: Home, tmp_path: Path) -> None:
    """It has the lock and has not said yet who it is: what is written down is its own by now."""
    place = ServerPlace(tmp_path)
    path = f"{place.program().parent}:{os.environ['PATH']}"
    place.model()
    home.start(PATH=path).apply(Wanted(with_server(tmp_path, 1)))
    home.kill()
    begun = RuntimeLock(home.folders.runtime)
    begun.take()
    try:
        stop_runtime(LocalHost(), 0.1)
        assert len(home.servers()) == 1
    finally:
        begun.free()
    stop_runtime(LocalHost(), 0.1)
    assert home.servers() == []


def test_a_second_signal_leaves_no_server_either(home: Home, tmp_path: Path) -> None:
    """Who asks twice does not wait for the grace of a server that ignores SIGTERM."""
    place = ServerPlace(tmp_path)
    path = f"{place.program().parent}:{os.environ['PATH']}"
    place.model(deaf=True)
    home.start(PATH=path).apply(Wanted(with_server(tmp_path, 1)))
    runtime = home.processes[-1]
    runtime.send_signal(signal.SIGTERM)
    log = home.folders.state / "logs" / "runtime.log"
    eventually(lambda: '"event": "stopping"' in log.read_text())
    runtime.send_signal(signal.SIGTERM)
    assert runtime.wait(9) == 0
    assert home.servers() == []


@pytest.mark.parametrize("works", [True, False])
def test_a_foreground_runtime_applies_and_serves_or_ends_with_the_reason(home: Home, works: bool) -> None:
    """For containers: the manifest is applied by the process that stays; what cannot be applied is its exit."""
    wanted = SHOP if works else replace(SHOP, type="distributed-edge")
    host = LocalHost()
    applied: list[int] = []

    async def apply(planes: Planes) -> None:
        result = await planes.reconciler.apply(Wanted(wanted), lambda _: None)
        applied.append(result.revision)
        runtime.stop(0.0)

    runtime = Runtime(Place(host, host.folders(), Settings(servers=())), apply)
    if works:
        run_until_stopped(runtime)
    else:
        with pytest.raises(DeployError, match="spans several nodes"):
            run_until_stopped(runtime)
    assert applied == ([1] if works else [])
    assert not home.client.socket.exists()


def test_a_secret_that_is_not_set_is_named_and_can_be_added_while_the_runtime_runs(home: Home) -> None:
    """With the file that it belongs in; no new apply is needed."""
    argv = [sys.executable, "-m", "orchestrator.testing.simulated_server", "--model", "m", "--api-key", "right-key"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        client = home.start(ORCHESTRATOR_LOOK_EVERY="0.1")
        far = model("m", ids={"*": ["m"]}, endpoint=url, api_key="env:SHOP_KEY")
        client.apply(Wanted(blueprint(far, agent("a", models=["m"]), name="shop")))
        refused = client.run("shop", Request("hi")).error
        assert refused is not None and "the secret env:SHOP_KEY is not set in the runtime" in refused["cure"]
        assert str(home.folders.config / "environment") in refused["cure"]
        home.keep_secrets("SHOP_KEY=right-key\n")
        eventually(lambda: client.status()["deployments"][0]["state"] == "running")
        assert client.run("shop", Request("hi")).status == "completed"
        process.kill()
