"""What an operator asks of a simulation, checked against the manifest, and what it gave."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from orchestrator.app.simulation.breaks import breaks_of
from orchestrator.app.simulation.broken import Break
from orchestrator.app.simulation.calm import Calm, beside
from orchestrator.app.simulation.demand import can_do, demands, placed, strained
from orchestrator.app.simulation.durations import HARDWARE, Assumed
from orchestrator.app.simulation.faults import check_apart, read_fault
from orchestrator.app.simulation.figures import Figures, figures_of
from orchestrator.app.simulation.play import Load, Story, play
from orchestrator.core.blueprint import Blueprint
from orchestrator.core.errors import UsageError
from orchestrator.core.names import did_you_mean
from orchestrator.core.quantity import parse_duration

MOST: Final = 1_000_000
"""Requests of one simulation: each takes a third of a millisecond."""


@dataclass(frozen=True, slots=True)
class Order:
    """As it was written: ``fail`` are faults, ``service`` are ``AGENT=TIME`` or ``TIME``, ``share`` ``AGENT=WEIGHT``, ``hardware``
    ``NODE=KIND`` or ``KIND``, ``tokens`` ``PROMPT+ANSWER``."""

    rps: float
    duration: str
    seed: int = 0
    slots: int = 1
    fail: Sequence[str] = ()
    service: Sequence[str] = ()
    share: Sequence[str] = ()
    hardware: Sequence[str] = ()
    tokens: str = "300+120"


@dataclass(frozen=True, slots=True)
class Simulated:
    """What came of it. ``can_do``: of the requests that are asked a second, those that can be done with nothing failing."""

    blueprint: Blueprint
    assumed: Assumed
    story: Story
    figures: Figures
    breaks: Sequence[Break]
    can_do: float

    @property
    def unheard(self) -> int:
        """Requests that came to a node which was down, or ended with it, while no other one could hold their agent."""
        return sum(each.unheard for each in self.breaks)


def simulate(blueprint: Blueprint, order: Order) -> Simulated:
    """Simulate it. The same order of the same manifest gives the same. Raises ``UsageError``."""
    load, assumed = _load(blueprint, order), _assumed(blueprint, order)
    found = demands(blueprint, load, assumed, placed(blueprint))
    if load.faults and strained(found, blueprint):
        with beside(blueprint, load, assumed) as ended:
            story = play(blueprint, load, assumed)
            calm: Calm | None = ended()
    else:
        story, calm = play(blueprint, load, assumed), None
    figures = figures_of(story, blueprint, assumed, calm)
    told = breaks_of(story, figures, blueprint, assumed, calm)
    return Simulated(blueprint, assumed, story, figures, told, can_do(found, load))


def _load(blueprint: Blueprint, order: Order) -> Load:
    if not 0 < order.rps < float("inf"):
        raise UsageError(f"--rps {order.rps:g} is no rate of requests", cure="write it like --rps 20")
    duration = _time("--duration", order.duration, order.duration)
    if order.rps * duration > MOST:
        raise UsageError(
            f"that would be {order.rps * duration:,.0f} requests, and more than {MOST:,} are not simulated",
            cure="make --duration shorter",
        )
    faults = [read_fault(written, [node["name"] for node in blueprint.nodes], duration) for written in order.fail]
    check_apart(faults)
    return Load(order.rps, duration, _shares(blueprint, order.share), faults, order.seed)


def _shares(blueprint: Blueprint, written: Iterable[str]) -> dict[str, float]:
    """All agents that a request can be for get the same share, where nothing else was said."""
    agents = {one.spec["name"]: one.spec for one in blueprint.of_kind("agent")}
    shares = {
        name: 1.0 for name, spec in agents.items() if spec["role"] == "specialist" and not spec["human"]
    } or dict.fromkeys(agents, 1.0)
    for each in written:
        name, weight = _named("--share", each, "agent", agents)
        try:
            shares[name] = float(weight)
        except ValueError:
            shares[name] = -1.0
        if not 0 <= shares[name] < float("inf"):
            raise UsageError(f"--share {each} is no weight", cure="write it like --share billing=3")
    shares = {name: weight for name, weight in shares.items() if weight}
    if not shares:
        raise UsageError("no agent is to get a request", cure="leave a --share out, or let one be above 0")
    return shares


def _assumed(blueprint: Blueprint, order: Order) -> Assumed:
    agents = [one.spec["name"] for one in blueprint.of_kind("agent")]
    nodes = [node["name"] for node in blueprint.nodes]
    seconds = dict(_pair("--service", each, "agent", agents) for each in order.service)
    machines = dict(_pair("--hardware", each, "node", nodes) for each in order.hardware)
    for kind in machines.values():
        if kind not in HARDWARE:
            near = did_you_mean(kind, HARDWARE)
            raise UsageError(f"--hardware {kind} is not known", cure=near or f"one of {', '.join(HARDWARE)}")
    if order.slots < 1:
        raise UsageError(f"--slots {order.slots} answers nothing", cure="write 1 or more")
    prompt, answer = _tokens(order.tokens)
    times = {agent: _time("--service", time, f"{agent}={time}".lstrip("=")) for agent, time in seconds.items()}
    return Assumed({"": "cpu", **machines}, times, prompt, answer, order.slots)


def _tokens(written: str) -> tuple[int, int]:
    prompt, _, answer = written.partition("+")
    if not (prompt.isascii() and prompt.isdecimal() and answer.isascii() and answer.isdecimal()):
        raise UsageError(f"--tokens {written} are no tokens", cure="write them like --tokens 300+120")
    return int(prompt), int(answer)


def _pair(option: str, written: str, kind: str, known: Sequence[str]) -> tuple[str, str]:
    """``NAME=VALUE``, or a value for all (the name is empty then)."""
    return _named(option, written, kind, known) if "=" in written else ("", written)


def _named(option: str, written: str, kind: str, known: Iterable[str] | Mapping[str, object]) -> tuple[str, str]:
    name, equals, value = written.partition("=")
    names = list(known)
    if not equals or not value:
        raise UsageError(f"{option} {written} gives no value", cure=f"write it like {option} NAME=VALUE")
    if name not in names:
        raise UsageError(
            f'{option} {written}: there is no {kind} "{name}"',
            cure=did_you_mean(name, names) or f"one of {', '.join(names)}",
        )
    return name, value


def _time(option: str, text: str, written: str) -> float:
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise UsageError(f"{option} {written}: {error}", cure=f"write it like {option} 120s") from error
    if seconds <= 0:
        raise UsageError(f"{option} {written} is no time", cure="make it longer")
    return seconds
