"""The operator's environment: ports, places to look at, patience. What a manifest says is not here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from orchestrator.core.errors import UsageError
from orchestrator.core.quantity import parse_duration

DEFAULT_PORT: Final = 7411
LEVELS: Final = ("debug", "info", "warning", "error")
FAULTS: Final = ("transport", "5xx", "broken", "stalled")
"""What the breaker of a server may count: no connection, an error of the server, an answer that breaks off or is none, and
no sign of life."""

NAMES: Final = frozenset(
    f"ORCHESTRATOR_{name}"
    for name in (
        *("HOME", "PORT", "LOG_LEVEL", "LOOK_EVERY", "DRAIN", "SERVERS"),
        *("STALL_AFTER", "DEEP_CHECK", "BREAKER_COUNTS"),
    )
)
"""What an operator sets for a runtime; a variable of a like name may be anything, also a secret."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Read from the environment.

    ``ORCHESTRATOR_PORT`` (``port``; asked for, it must be free), ``ORCHESTRATOR_LOG_LEVEL``, ``ORCHESTRATOR_LOOK_EVERY``
    (how often model servers are looked for), ``ORCHESTRATOR_DRAIN`` (how long a stop waits for requests),
    ``ORCHESTRATOR_SERVERS`` (where model servers are looked for in place of the usual places, separated by commas;
    empty: nowhere but where a manifest says), ``ORCHESTRATOR_STALL_AFTER`` (how long a call may show no sign of life),
    ``ORCHESTRATOR_DEEP_CHECK`` (after what rest a server is asked for a token; ``off``: ``None`` here),
    ``ORCHESTRATOR_BREAKER_COUNTS`` (which faults open the breaker of a server), ``ORCHESTRATOR_FAIL_AT`` (for tests: where
    the runtime kills itself). Durations are seconds here.
    """

    port: int = DEFAULT_PORT
    port_asked: bool = False
    log_level: str = "info"
    look_every: float = 10.0
    drain: float = 30.0
    servers: tuple[str, ...] | None = None
    stall_after: float = 60.0
    deep_check: float | None = 300.0
    breaker_counts: tuple[str, ...] = FAULTS
    fail_at: str = ""

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Settings:
        """From the environment; raises ``UsageError`` that names a variable which does not fit."""
        servers = environment.get("ORCHESTRATOR_SERVERS")
        return cls(
            port=_port(environment.get("ORCHESTRATOR_PORT", "")),
            port_asked=bool(environment.get("ORCHESTRATOR_PORT")),
            log_level=_level(environment.get("ORCHESTRATOR_LOG_LEVEL", "")),
            look_every=_seconds(environment, "ORCHESTRATOR_LOOK_EVERY", 10.0),
            drain=_seconds(environment, "ORCHESTRATOR_DRAIN", 30.0),
            servers=None if servers is None else _servers(servers),
            stall_after=_seconds(environment, "ORCHESTRATOR_STALL_AFTER", 60.0),
            deep_check=_seconds_or_off(environment, "ORCHESTRATOR_DEEP_CHECK", 300.0),
            breaker_counts=_faults(environment.get("ORCHESTRATOR_BREAKER_COUNTS")),
            fail_at=environment.get("ORCHESTRATOR_FAIL_AT", ""),
        )


def _port(text: str) -> int:
    if not text:
        return DEFAULT_PORT
    if text.isascii() and text.isdecimal() and 0 < int(text) < 65536:
        return int(text)
    raise UsageError(f"ORCHESTRATOR_PORT is {text!r}, which is no port", cure="write a number from 1 to 65535")


def _level(text: str) -> str:
    level = text.strip().lower() or "info"
    if level in LEVELS:
        return level
    raise UsageError(f"ORCHESTRATOR_LOG_LEVEL is {text!r}", cure=f"write one of {', '.join(LEVELS)}")


def _servers(text: str) -> tuple[str, ...]:
    from orchestrator.plugins.providers.addresses import server_at

    named = filter(None, map(str.strip, text.split(",")))
    try:
        return tuple(map(server_at, named))
    except UsageError as error:
        cure = "write addresses like http://127.0.0.1:8080, separated by commas; an empty text for none"
        raise UsageError(f"ORCHESTRATOR_SERVERS: {error.message}", cure=cure) from error


def _faults(text: str | None) -> tuple[str, ...]:
    if text is None:
        return FAULTS
    named = tuple(filter(None, map(str.strip, text.lower().split(","))))
    strange = [name for name in named if name not in FAULTS]
    if strange:
        raise UsageError(
            f"ORCHESTRATOR_BREAKER_COUNTS: {strange[0]!r} is no fault that can be counted",
            cure=f"write some of {', '.join(FAULTS)}, separated by commas; an empty text for none",
        )
    return named


def _seconds_or_off(environment: Mapping[str, str], name: str, default: float) -> float | None:
    if environment.get(name, "").strip().lower() == "off":
        return None
    return _seconds(environment, name, default)


def _seconds(environment: Mapping[str, str], name: str, default: float) -> float:
    text = environment.get(name, "").strip()
    if not text:
        return default
    try:
        seconds = float(text) if text.replace(".", "", 1).isdecimal() else parse_duration(text)
    except ValueError as error:
        raise UsageError(f"{name}: {error}", cure="write for example 10s") from error
    if seconds <= 0:
        raise UsageError(f"{name} is {text!r}", cure="write a duration above zero, for example 10s")
    return seconds
