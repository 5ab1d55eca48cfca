"""Servers as real processes that misbehave in every way: what becomes of each, and that nothing of them stays."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import anyio
import psutil
import pytest

from orchestrator.deploy.server_logs import LOG_SIZE, last_lines
from orchestrator.deploy.server_records import ServerRecords, place_of_process
from orchestrator.plugins.hosts.processes import LocalProcesses
from orchestrator.ports.host import ProcessIdentity
from tests.launchers.programs import put
from tests.runtime.living import free_port
from tests.servers.yard import QUICK, Place, until, with_port

pytestmark = pytest.mark.anyio


async def test_from_a_want_to_a_token_and_back_to_nothing(place: Place) -> None:
    """It waits out the loading, is ready by a token, and after the end neither process nor record is left."""
    place.model(loading=0.4)
    async with place.life() as servers:
        servers.want(place.want())
        server = await servers.settled("kiosk/tiny")
        assert server is not None and server.state == "ready" and server.pid
        assert servers.addresses() == [server.url]
        assert len(ServerRecords(place.root / "state" / "servers").all()) == 1
    assert place.told == [
        "kiosk/tiny starting",
        "kiosk/tiny starting",
        "kiosk/tiny ready",
        "kiosk/tiny stopping: it is not wanted any more",
        "kiosk/tiny gone",
    ]
    assert ServerRecords(place.root / "state" / "servers").all() == []
    assert len(place.starts()) == 1


async def test_one_that_crashes_at_start_is_given_up_with_its_last_words(place: Place) -> None:
    """Three starts, then it rests; an apply that finds it mended has it running."""
    place.model(exit=0)
    async with place.life() as servers:
        servers.want(place.want())
        server = await servers.settled("kiosk/tiny")
        assert server is not None and server.state == "failed"
        assert server.why == (
            "given up after 3 tries: exit code 3: error: cannot allocate 9 GB for the model; it rests for 15 min"
        )
        assert len(place.starts()) == 3
        place.model()
        servers.want(place.want())
        server = await servers.settled("kiosk/tiny")
        assert server is not None and server.state == "ready"


async def test_one_that_crashes_later_comes_back_on_its_port(place: Place) -> None:
    """So that nobody who knows it has to look for it; what it began ends with it."""
    place.model(children=2)
    async with place.life() as servers:
        servers.want(place.want())
        first = await servers.settled("kiosk/tiny")
        assert first is not None
        assert len(place.processes()) == 3
        os.kill(first.pid, signal.SIGKILL)
        await until(lambda: len(place.starts()) == 2)
        second = await servers.settled("kiosk/tiny")
        assert second is not None and second.state == "ready"
        assert (second.url, second.pid == first.pid) == (first.url, False)
        assert len(place.processes()) == 3
    assert [line for line in place.told if "waiting" in line] == [
        "kiosk/tiny waiting: killed by SIGKILL, by somebody or by the system for want of memory"
    ]


async def test_one_that_hangs_at_start_is_ended_after_its_time(place: Place) -> None:
    """It listens, takes connections and says nothing: that counts as a crash."""
    place.model(hang=True)
    async with place.life() as servers:
        servers.want(place.want(timeout=0.5))
        server = await servers.settled("kiosk/tiny")
        assert server is not None and server.state == "failed"
        assert "no first token within 0.5 s" in server.why
    assert len(place.starts()) == 3


async def test_one_that_is_stuck_is_asked_again_and_started_anew(place: Place) -> None:
    """Ready is not for ever: who calls it in vain has it doubted."""
    place.model(stuck=0.8)
    async with place.life() as servers:
        servers.want(place.want(timeout=3))
        first = await servers.settled("kiosk/tiny")
        assert first is not None and first.state == "ready"
        place.model()
        await anyio.sleep(1.0)
        servers.doubt("kiosk/tiny")
        second = await servers.settled("kiosk/tiny")
        assert second is not None and second.state == "ready" and second.pid != first.pid
    assert [line for line in place.told if "no first token" in line]


async def test_one_that_does_not_know_its_model_is_given_up_with_the_reason(place: Place) -> None:
    """Waiting would not bring the model."""
    place.model(missing=True)
    async with place.life() as servers:
        servers.want(place.want())
        server = await servers.settled("kiosk/tiny")
        assert server is not None and server.state == "failed" and "model not found" in server.why


async def test_one_that_ignores_sigterm_is_killed_with_its_children(place: Place) -> None:
    """After the grace, and its children too."""
    place.model(deaf=True, children=1)
    async with place.life() as servers:
        servers.want(place.want())
        await servers.settled("kiosk/tiny")
        assert len(place.processes()) == 2
    assert place.processes() == []


async def test_a_port_that_is_taken_is_told_and_tried_again(place: Place) -> None:
    """A named port is never left for another one."""
    port = free_port()
    place.model()
    with socket.create_server(("127.0.0.1", port)):
        async with place.life() as servers:
            servers.want(with_port(place.want(), port))
            server = await servers.settled("kiosk/tiny")
            assert server is not None and server.state == "failed"
            assert (
                f"port {port} is taken by {psutil.Process().name()} (process {os.getpid()}); write another `port`"
                in server.why
            )
    assert place.starts() == []


async def test_a_port_of_another_server_of_ours_is_told_and_had_when_that_ends(place: Place) -> None:
    """It names the other one, and no log that was never written; it does not rest on after the other one is gone."""
    place.program()
    place.model()
    port = free_port()
    async with place.life() as servers:
        servers.want(with_port(place.want("one/tiny"), port))
        await servers.settled("one/tiny")
        servers.want(with_port(place.want("two/tiny"), port))
        second = await servers.settled("two/tiny")
        assert second is not None and second.state == "failed"
        assert f"port {port} is taken by server.tiny of one" in second.why and second.log == ""
        servers.keep({"two/tiny"})
        await servers.ended({"one/tiny"})
        second = await servers.settled("two/tiny")
        assert second is not None and (second.state, second.url) == ("ready", f"http://127.0.0.1:{port}")


async def test_a_program_that_is_gone_and_an_option_that_it_lacks_are_told(place: Place) -> None:
    """Both are reasons like a crash; nothing is started."""
    place.model()
    (place.root / "bin" / "options").write_text("--model --alias --host --port")
    put(place.root / "bin", "llama-server", 'echo "--model M"; echo "--port P"')
    async with place.life() as servers:
        servers.want(place.want(options={"threads": 2}))
        server = await servers.settled("kiosk/tiny")
        assert server is not None and server.why.startswith("given up after 3 tries: threads: llama-server")
        (place.root / "bin" / "llama-server").unlink()
        servers.want(place.want(options={"threads": 1}))
        server = await servers.settled("kiosk/tiny")
        assert server is not None and "llama-server is not installed" in server.why


async def test_a_life_that_was_cut_off_leaves_its_servers_to_the_next(place: Place) -> None:
    """The same process, told by its marker and its start; no second one is started."""
    place.model()
    async with place.life(close=False) as servers:
        servers.want(place.want())
        before = await servers.settled("kiosk/tiny")
    assert before is not None and len(place.processes()) == 1
    async with place.life() as servers:
        after = await servers.settled("kiosk/tiny")
        assert after is not None and (after.state, after.pid, after.url) == ("ready", before.pid, before.url)
        servers.want(place.want())
        assert (await servers.settled("kiosk/tiny")) == after
    assert len(place.starts()) == 1


async def test_a_taken_over_server_that_dies_is_started_again(place: Place) -> None:
    """The record knows how, without anybody who applies."""
    place.model()
    async with place.life(close=False) as servers:
        servers.want(place.want())
        before = await servers.settled("kiosk/tiny")
    assert before is not None
    async with place.life() as servers:
        await servers.settled("kiosk/tiny")
        os.kill(before.pid, signal.SIGKILL)
        await until(lambda: len(place.starts()) == 2)
        after = await servers.settled("kiosk/tiny")
        assert after is not None and after.state == "ready"


async def test_what_nobody_wants_any_more_is_ended_by_the_next_life(place: Place) -> None:
    """A server of a deployment that was taken down while nobody watched."""
    place.model()
    async with place.life(close=False) as servers:
        servers.want(place.want())
        await servers.settled("kiosk/tiny")
    async with place.life() as servers:
        servers.keep(set())
        await servers.ended({"kiosk/tiny"})
        assert place.processes() == []


async def test_a_server_that_died_while_nobody_watched_leaves_nothing(place: Place) -> None:
    """Neither its children nor its record; and a file that is no record does no harm."""
    place.model(children=1)
    async with place.life(close=False) as servers:
        servers.want(place.want())
        before = await servers.settled("kiosk/tiny")
    assert before is not None
    os.kill(before.pid, signal.SIGKILL)
    await until(lambda: before.pid not in [each.pid for each in place.processes()])
    (place.root / "state" / "servers" / "broken.json").write_text("{")
    async with place.life() as servers:
        assert servers.observed() == {}
        assert place.processes() == []
    assert not (place.root / "state" / "servers").exists()


async def test_what_overwrote_its_environment_ends_with_its_leader(place: Place) -> None:
    """Nothing but its session tells whose it is, as with vLLM's engine: it must not keep the memory of a card."""
    place.model(bare=2)
    async with place.life() as servers:
        servers.want(place.want())
        first = await servers.settled("kiosk/tiny")
        assert first is not None and len(place.bare()) == 2
        os.kill(first.pid, signal.SIGKILL)
        await until(lambda: len(place.starts()) == 2)
        await servers.settled("kiosk/tiny")
        assert len(place.bare()) == 2  # those of the second start
        assert len(place.processes()) == 3


async def test_what_overwrote_its_environment_is_ended_by_the_next_life(place: Place) -> None:
    """The runtime was killed, and the leader too: they were written down as soon as the server was asked."""
    place.model(bare=2)
    async with place.life(close=False) as servers:
        servers.want(place.want())
        before = await servers.settled("kiosk/tiny")
    assert before is not None and len(place.bare()) == 2
    os.kill(before.pid, signal.SIGKILL)
    await until(lambda: not psutil.pid_exists(before.pid) or psutil.Process(before.pid).status() == "zombie")
    async with place.life() as servers:
        assert servers.observed() == {}
        assert place.processes() == []


def test_a_number_that_is_a_strangers_by_now_is_left_alone() -> None:
    """A record of long ago: its leader's number leads a session of somebody else, or led one of which something is left."""
    sleeper = [sys.executable, "-S", "-c", "import time; time.sleep(3600)"]
    stranger = subprocess.Popen(sleeper, start_new_session=True)
    gone = subprocess.Popen(["/bin/sh", "-c", "sleep 3600 &"], start_new_session=True)
    gone.wait()
    try:
        long_ago = ProcessIdentity(stranger.pid, 5.0)
        processes = LocalProcesses()
        assert processes.members(long_ago) == ()
        processes.kill(long_ago, "nobody", members=[ProcessIdentity(stranger.pid, 5.0)])
        processes.kill(ProcessIdentity(gone.pid, 5.0), "nobody", members=[ProcessIdentity(2**22 + 1, 5.0)])
        processes.kill(ProcessIdentity(0, 0.0), "nobody")
        assert stranger.poll() is None
        assert [pid for pid in psutil.pids() if _session(pid) == gone.pid]
    finally:
        os.killpg(stranger.pid, signal.SIGKILL)
        os.killpg(gone.pid, signal.SIGKILL)
        stranger.wait()


def _session(pid: int) -> int:
    with suppress(OSError):
        return os.getsid(pid)
    return 0


async def test_servers_of_a_process_that_was_killed_are_ended_by_the_next_runtime(place: Place) -> None:
    """Those of one that still runs are left alone."""
    place.model()
    servers_folder = place.root / "state"
    for owner in (ProcessIdentity(os.getpid(), psutil.Process().create_time()), ProcessIdentity(2**22 + 1, 5.0)):
        other = Place(place.root, records=place_of_process(servers_folder, owner))
        async with other.life(close=False) as servers:
            servers.want(place.want())
            await servers.settled("kiosk/tiny")
    assert len(place.processes()) == 2
    async with place.life() as servers:
        assert servers.observed() == {}
        assert len(place.processes()) == 1
    left = Place(
        place.root,
        records=place_of_process(servers_folder, ProcessIdentity(os.getpid(), psutil.Process().create_time())),
    )
    async with left.life():
        pass
    assert place.processes() == []


async def test_other_options_restart_it_with_them(place: Place) -> None:
    """The old process is gone before the new one begins."""
    place.model()
    async with place.life() as servers:
        servers.want(place.want(options={"threads": 1}))
        first = await servers.settled("kiosk/tiny")
        servers.want(place.want(options={"threads": 2}))
        second = await servers.settled("kiosk/tiny")
        assert first is not None and second is not None and first.pid != second.pid
        assert len(place.processes()) == 1
    assert [("--threads 1" in line, "--threads 2" in line) for line in place.starts()] == [(True, False), (False, True)]


async def test_a_disk_that_takes_no_record_is_told_and_nothing_is_started(place: Place) -> None:
    """What could not be found again after a power cut must not begin."""
    place.model()
    (place.root / "state").mkdir()
    (place.root / "state" / "servers").write_text("not a folder")
    async with place.life() as servers:
        servers.want(place.want())
        server = await servers.settled("kiosk/tiny")
        assert server is not None and server.state == "failed" and "File exists" in server.why
        (place.root / "state" / "servers").unlink()
        servers.want(place.want())
        server = await servers.settled("kiosk/tiny")
        assert server is not None and server.state == "ready"
    assert len(place.starts()) == 1


async def test_several_start_side_by_side(place: Place) -> None:
    """Each with a port and a log of its own, also where their names differ only in signs that files cannot have."""
    names = ["kiosk/a:b", "kiosk/a/b", "shop/a-b"]
    place.model(loading=0.2)
    async with place.life() as servers:
        for name in names:
            servers.want(place.want(name))
        found = [await servers.settled(name) for name in names]
        assert [each.state for each in found if each] == ["ready"] * 3
        assert len({each.url for each in found if each}) == len({each.log for each in found if each}) == 3


def _append(log: Path, content: bytes) -> None:
    with log.open("ab") as out:
        out.write(content)


def assert_kept(log: Path) -> None:
    lines = log.read_text().splitlines()
    assert lines[0].startswith("(what came before is cut off: ") and not any("xx" in line for line in lines)
    assert lines[-2:] == ["the end", "more"]
    assert [each.name for each in log.parent.iterdir()] == [log.name]


async def test_the_log_is_kept_and_bounded(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its newest lines survive whole in the same file, and what the server says later follows them."""
    monkeypatch.setattr("orchestrator.deploy.servers.TRIM_EVERY", 0.0)
    place.model(loading=0.1)
    async with place.life() as servers:
        servers.want(place.want("desk/a"))
        found = await servers.settled("desk/a")
        assert found is not None
        log = Path(found.log)
        _append(log, b"x" * LOG_SIZE + b"\nthe end\n")
        await until(lambda: log.stat().st_size <= LOG_SIZE)
        _append(log, b"more\n")
    assert_kept(log)
    assert last_lines(log).endswith("the end | more") and last_lines(log.with_name("none.log")) == ""
    assert QUICK.grace < 1
