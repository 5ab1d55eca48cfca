"""Small parts of the runtime: settings, the table of kinds, logs that rotate, secrets that stay out of them."""

from __future__ import annotations

import json
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from orchestrator.app import catalog
from orchestrator.app.journal import Journal
from orchestrator.app.limits import limits_of
from orchestrator.app.logs import keep_cut
from orchestrator.app.owners import Owners
from orchestrator.app.redact import Redactor
from orchestrator.app.rotating import LARGEST, RotatingFile
from orchestrator.app.settings import Settings
from orchestrator.app.start import KEPT, clean_environment
from orchestrator.core.errors import (
    BrokenReply,
    DeployError,
    ModelError,
    ServerFailed,
    Stalled,
    Unreachable,
    UsageError,
)
from orchestrator.core.event import Event
from orchestrator.deploy.backoff import Backoff
from orchestrator.plugins.providers.addresses import MAKES, root_of
from orchestrator.plugins.providers.in_process.library import LIBRARIES
from orchestrator.ports.installed import Family
from orchestrator.ports.log_file import cut
from orchestrator.serve.scheduler_limits import SchedulerLimits


def test_settings_come_from_the_environment() -> None:
    """With defaults that need none."""
    assert Settings.read({}) == Settings()
    given = {"ORCHESTRATOR_PORT": "8000", "ORCHESTRATOR_LOOK_EVERY": "2m", "ORCHESTRATOR_SERVERS": "http://a, http://b"}
    settings = Settings.read(given)
    assert (settings.port, settings.port_asked, settings.look_every) == (8000, True, 120.0)
    assert settings.servers == ("http://a", "http://b")
    assert Settings.read({"ORCHESTRATOR_SERVERS": ""}).servers == ()
    bare = "127.0.0.1:21831, :8080, http://a/v1/, onnx://localhost/models"
    found = ("http://127.0.0.1:21831", "http://127.0.0.1:8080", "http://a", "onnx://localhost/models")
    assert Settings.read({"ORCHESTRATOR_SERVERS": bare}).servers == found


@pytest.mark.parametrize(
    "text", ["127.0.0.1:8080", ":8080", "https://gpu.example/v1/", "http://[::1]:1", "http://a,,b:80"]
)
def test_addresses_of_servers_have_every_usual_form(text: str) -> None:
    assert Settings.read({"ORCHESTRATOR_SERVERS": text}).servers == tuple(map(root_of, filter(None, text.split(","))))


@pytest.mark.parametrize(
    "text",
    ["ftp://x", "http://a, file:///etc", "http://a:99999", "http://a:b", "http://[::1", "unix:///x", "foo bar"],
)
def test_what_is_no_address_of_a_server_is_refused_with_its_name(text: str) -> None:
    """When the settings are read, not when nothing is found there."""
    with pytest.raises(UsageError, match=r"ORCHESTRATOR_SERVERS: .* is no address of a model server"):
        Settings.read({"ORCHESTRATOR_SERVERS": text})


@pytest.mark.parametrize(
    ("given", "check", "counted", "stall_after"),
    [
        ({}, Backoff(300.0, 300.0, 0.25), (Unreachable, ServerFailed, BrokenReply, Stalled), 60.0),
        ({"ORCHESTRATOR_DEEP_CHECK": "off"}, None, (Unreachable, ServerFailed, BrokenReply, Stalled), 60.0),
        (
            {"ORCHESTRATOR_DEEP_CHECK": "1h", "ORCHESTRATOR_BREAKER_COUNTS": "5xx, Transport"},
            Backoff(3600.0, 3600.0, 0.25),
            (ServerFailed, Unreachable),
            60.0,
        ),
        (
            {"ORCHESTRATOR_BREAKER_COUNTS": "", "ORCHESTRATOR_STALL_AFTER": "5m"},
            Backoff(300.0, 300.0, 0.25),
            (),
            300.0,
        ),
    ],
)
def test_how_servers_are_judged_can_be_set(
    given: dict[str, str], check: Backoff | None, counted: tuple[type[ModelError], ...], stall_after: float
) -> None:
    """Opinions differ on what opens a breaker, and a token costs something."""
    rules = limits_of(Settings.read(given)).endpoint
    assert (rules.health.check, rules.count, rules.stall_after) == (check, counted, stall_after)


def test_without_settings_the_scheduler_goes_by_its_own_numbers() -> None:
    """They stand in one place only."""
    assert limits_of(Settings()) == SchedulerLimits()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ORCHESTRATOR_PORT", "0"),
        ("ORCHESTRATOR_PORT", "70000"),
        ("ORCHESTRATOR_LOG_LEVEL", "loud"),
        ("ORCHESTRATOR_DRAIN", "soon"),
        ("ORCHESTRATOR_LOOK_EVERY", "0"),
        ("ORCHESTRATOR_STALL_AFTER", "off"),
        ("ORCHESTRATOR_DEEP_CHECK", "never"),
        ("ORCHESTRATOR_BREAKER_COUNTS", "transport,4xx"),
    ],
)
def test_a_setting_that_does_not_fit_is_named(name: str, value: str) -> None:
    """With what is accepted."""
    with pytest.raises(UsageError, match=name) as raised:
        Settings.read({name: value})
    assert raised.value.cure


def test_a_background_runtime_gets_the_variable_of_every_model_server() -> None:
    """A server that is looked for in a shell would else be unknown to the runtime that this shell starts."""
    variables = {make.url_variable for make in MAKES if make.url_variable} | {each.variable for each in LIBRARIES}
    assert len(variables) > 10 and variables <= KEPT


@pytest.mark.parametrize("family", catalog.FAMILIES)
def test_every_row_of_the_table_can_be_loaded(family: Family) -> None:
    """A row whose place is mistyped would be found by a user only."""
    for name, row in catalog.FAMILIES[family].items():
        assert callable(catalog.load(family, name)) and row.summary and row.name == name


def test_an_unknown_kind_has_near_names() -> None:
    """Of the table and of installed packages."""
    with pytest.raises(DeployError, match='no tool is called "tickts"') as raised:
        catalog.find("tool", "tickts")
    assert raised.value.cure == 'did you mean "tickets"?'


def test_a_clean_environment_has_no_secrets() -> None:
    """Only what a process needs to find its files and words."""
    given = {
        "PATH": "/bin",
        "HOME": "/h",
        "OPENAI_API_KEY": "k",
        "ORCHESTRATOR_HOME": "/o",
        "LC_ALL": "C",
        "http_proxy": "p",
    }
    assert set(clean_environment(given)) == {"PATH", "HOME", "ORCHESTRATOR_HOME", "LC_ALL"}


def test_a_log_is_put_aside_when_it_grows_too_large(tmp_path: Path) -> None:
    """The newest lines are found over both files, and the disk holds no more than that."""
    file = RotatingFile(tmp_path / "log", largest=100, kept=1)
    for number in range(30):
        file.append([b"line %02d\n" % number])
    assert [line.decode().strip() for line in file.last(15)] == [f"line {number:02}" for number in range(15, 30)]
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 200


def test_a_file_that_others_write_keeps_its_newest_lines(tmp_path: Path) -> None:
    """It is the same file: who has it open goes on appending, and a reader is told that something is gone."""
    path = tmp_path / "printed"
    cut(path, LARGEST)
    with path.open("ab", buffering=0) as writer:
        for number in range(30):
            writer.write(b"line %02d\n" % number)
        cut(path, largest=240, left=20)
        assert path.stat().st_size == 240
        writer.write(b"line 30\n")
        cut(path, largest=240, left=20)
        writer.write(b"line 31\n")
    told, *lines = path.read_text().splitlines()
    assert told == "(what came before is cut off: the file grew larger than 240 bytes)"
    assert lines == ["line 29", "line 30", "line 31"]


@pytest.mark.anyio
async def test_what_a_process_prints_is_cut_while_it_runs(tmp_path: Path) -> None:
    """Also where it cannot be cut at first."""
    path = tmp_path / "printed"
    path.mkdir()
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(keep_cut, path, 0.0, 1000)
            await anyio.lowlevel.checkpoint()
            path.rmdir()
            path.write_bytes(b"x" * 2_000_000)
            while path.stat().st_size > 1_100_000:
                await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()


def test_secrets_reach_no_log(tmp_path: Path) -> None:
    """Neither under a telling key, nor where a known value appears in a text."""
    (tmp_path / "key").write_text("s3cret-value")
    (tmp_path / "key").chmod(0o600)
    redactor = Redactor()
    assert redactor.reveal("file:key", tmp_path).reveal() == "s3cret-value"
    deep = {"password": "y", "list": ["s3cret-value"], "at s3cret-value": 2, "why": ValueError("s3cret-value")}
    event = {"event": "said s3cret-value", "api_key": "x", "deep": deep, "n": 1}
    assert redactor(None, "info", event) == {
        "event": "said ***",
        "api_key": "***",
        "deep": {"password": "***", "list": ["***"], "at ***": 2, "why": "***"},
        "n": 1,
    }


def test_a_secret_that_begins_another_leaves_no_rest(tmp_path: Path) -> None:
    """The longer one is hidden whole."""
    redactor = Redactor()
    for name, value in (("short", "s3cret"), ("long", "s3cret-value")):
        (tmp_path / name).write_text(value)
        (tmp_path / name).chmod(0o600)
        redactor.reveal(f"file:{name}", tmp_path)
    assert redactor.text("s3cret-value, s3cret") == "***, ***"


@pytest.mark.anyio
async def test_a_secret_that_json_escapes_reaches_no_event_log(tmp_path: Path) -> None:
    """A quote or a backslash in it does not hide it from us, wherever it stands."""
    secret = 'a"b\\c-value'
    journal = Journal(tmp_path, lambda text: text.replace(secret, "***"), print)
    fields = {"message": f"HTTP 401: {secret}", "deep": {"list": [secret, ValueError(secret)]}}
    journal.take(Event("run.retry", 1.0, "shop", fields=fields))
    (entry,) = [line async for line in journal.follow("shop", 10, forever=False)]
    assert json.loads(entry)["message"] == "HTTP 401: ***"
    assert json.loads(entry)["deep"] == {"list": ["***", "***"]}


@pytest.mark.anyio
async def test_a_follower_misses_nothing_that_comes_while_lines_are_written(tmp_path: Path) -> None:
    """An event a turn of the loop: some come before it follows, some while the file is written, some after."""
    journal = Journal(tmp_path, lambda text: text, print)
    seen: list[float] = []

    async def follow() -> None:
        async for entry in journal.follow("shop", 50, forever=True):
            seen.append(json.loads(entry)["at"])
            if seen[-1] == 49.0:
                tasks.cancel_scope.cancel()

    with anyio.move_on_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(follow)
            for number in range(50):
                journal.take(Event("run.started", float(number), "shop"))
                await anyio.lowlevel.checkpoint()
    assert seen == [float(number) for number in range(50)]


def test_events_of_calls_and_servers_find_their_deployments() -> None:
    """A retry belongs to its run's deployment; a server's state to every deployment that uses the server."""
    owners = Owners(lambda endpoint: ["one", "two"] if endpoint == "e" else [])
    retry, state = Event("run.retry", 1.0, run="r"), Event("endpoint.state", 1.0, fields={"endpoint": "e"})
    assert owners.of(retry) == [retry]
    owners.of(Event("run.started", 1.0, "shop", 3, "r"))
    assert owners.of(retry) == [Event("run.retry", 1.0, "shop", 3, "r")]
    owners.of(Event("run.finished", 1.0, "shop", 3, "r"))
    assert owners.of(retry) == [retry]
    assert [event.deployment for event in owners.of(state)] == ["one", "two"]


@pytest.mark.anyio
async def test_a_disk_that_takes_no_lines_is_told_once_and_stops_nothing(tmp_path: Path) -> None:
    """When it takes them again, how many were lost is told."""
    told: list[str] = []
    (tmp_path / "logs").write_text("a file in the way")
    journal = Journal(tmp_path / "logs", lambda text: text, told.append)
    for _ in range(2):
        journal.take(Event("run.started", 1.0, "shop"))
        await journal.flush()
    assert told == ["events of shop cannot be written: File exists"]
    (tmp_path / "logs").unlink()
    journal.take(Event("run.started", 2.0, "shop"))
    await journal.flush()
    assert told[1:] == ["2 events could not be written"]
    assert [line async for line in journal.follow("shop", 10, forever=False)]


@pytest.mark.anyio
async def test_a_stop_while_lines_are_written_loses_none(tmp_path: Path) -> None:
    """What was begun is written for every deployment, also for those whose turn has not come."""
    journal = Journal(tmp_path, lambda text: text, print)
    names = {f"shop{number}" for number in range(50)}
    for name in names:
        journal.take(Event("run.started", 1.0, name))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(journal.flush)
        while not _written(tmp_path):  # until the first is being written
            await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()
    await journal.flush()
    assert _written(tmp_path) == names


def _written(folder: Path) -> set[str]:
    return {path.stem for path in folder.iterdir()}


@pytest.mark.anyio
async def test_a_follower_gets_each_line_once(tmp_path: Path) -> None:
    """Those of the file, then those that come, without a gap and without a repeat."""
    journal = Journal(tmp_path, lambda text: text, print)
    for number in range(5):
        journal.take(Event("run.started", float(number), "shop"))
    seen: list[bytes] = []

    async def follow() -> None:
        async for line in journal.follow("shop", 3, forever=True):
            seen.append(line)
            if len(seen) == 6:
                tasks.cancel_scope.cancel()

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(follow)
            for number in range(5, 8):
                await anyio.wait_all_tasks_blocked()
                journal.take(Event("run.started", float(number), "shop"))
                await journal.flush()
    assert [line.split(b",")[0] for line in seen] == [b'{"at":%d.0' % number for number in range(2, 8)]
