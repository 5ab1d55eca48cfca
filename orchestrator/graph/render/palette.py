"""Colours of the picture: readable on white and on black, and apart for people who see few colours (each kind has its own
word in the box, each link its own dash)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from orchestrator.graph.link import LinkKind
from orchestrator.graph.vertex import VertexKind


@dataclass(frozen=True, slots=True)
class Colours:
    """Colours of one mode."""

    page: str
    box: str
    edge: str
    text: str
    faint: str
    kinds: dict[VertexKind, str]
    links: dict[LinkKind, str]


LIGHT: Final = Colours(
    page="#ffffff",
    box="#f8fafc",
    edge="#cbd5e1",
    text="#0f172a",
    faint="#526077",
    kinds={
        "router": "#1d4ed8",
        "specialist": "#15803d",
        "escalation": "#be123c",
        "model": "#7e22ce",
        "tool": "#b45309",
        "knowledge": "#0f766e",
        "node": "#475569",
    },
    links={
        "route": "#2563eb",
        "default": "#2563eb",
        "escalate": "#e11d48",
        "uses": "#94a3b8",
        "fallback": "#9333ea",
        "runs_on": "#94a3b8",
    },
)
DARK: Final = Colours(
    page="#0d1117",
    box="#161b22",
    edge="#3b4656",
    text="#e6edf3",
    faint="#9aa7b8",
    kinds={
        "router": "#7aa7ff",
        "specialist": "#56d37a",
        "escalation": "#ff7b93",
        "model": "#c49bff",
        "tool": "#f0b45a",
        "knowledge": "#4fd1c0",
        "node": "#a8b3c2",
    },
    links={
        "route": "#5b93ff",
        "default": "#5b93ff",
        "escalate": "#ff6b87",
        "uses": "#5f6f86",
        "fallback": "#b98cff",
        "runs_on": "#5f6f86",
    },
)

DASHES: Final[dict[LinkKind, str]] = {"default": "9 4", "escalate": "5 4", "fallback": "2 4", "runs_on": "1 4"}
WIDTHS: Final[dict[LinkKind, float]] = {"route": 2.0, "default": 2.0, "escalate": 1.8, "fallback": 1.6}
THIN: Final = 1.2


def style_sheet() -> str:
    """The rules of both modes; a viewer without media queries shows the light one."""
    fixed = [
        "text{font-family:system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif}",
        ".title{font-size:18px;font-weight:650}.sub{font-size:12px}.name{font-size:13px;font-weight:600}",
        ".about{font-size:11px}.kind{font-size:9px;font-weight:600;letter-spacing:.06em;text-transform:uppercase}",
        ".box{stroke-width:1}.link{fill:none;stroke-linecap:round}.link,.head{transition:opacity .12s}",
        *(f".link.{kind}{{stroke-dasharray:{dash}}}" for kind, dash in DASHES.items()),
        *(f".link.{kind}{{stroke-width:{WIDTHS.get(kind, THIN)}}}" for kind in LIGHT.links),
    ]
    dark = "".join(_rules(DARK))
    return "\n".join([*fixed, *_rules(LIGHT), f"@media (prefers-color-scheme:dark){{{dark}}}"])


def _rules(colours: Colours) -> list[str]:
    return [
        f".page{{fill:{colours.page}}}.box{{fill:{colours.box};stroke:{colours.edge}}}",
        f".title,.name{{fill:{colours.text}}}.sub,.about{{fill:{colours.faint}}}",
        f".link.enter{{stroke:{colours.faint};stroke-width:2}}.head.enter{{fill:{colours.faint}}}",
        *(f".bar.{kind},.kind.{kind}{{fill:{colour}}}" for kind, colour in colours.kinds.items()),
        *(f".link.{kind}{{stroke:{colour}}}.head.{kind}{{fill:{colour}}}" for kind, colour in colours.links.items()),
    ]
