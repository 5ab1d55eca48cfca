"""Requests, queues, times and utilisation over time, with the faults: an SVG in light and dark."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, floor, log10
from typing import TYPE_CHECKING, Final

from orchestrator.app.simulation.figures import REFUSED, spread_of
from orchestrator.app.simulation.play import ANSWERED, AWAY, GONE, KEPT, SAMPLES
from orchestrator.graph.render.glyphs import fitted, text_width
from orchestrator.graph.render.palette import DARK, LIGHT, Colours
from orchestrator.graph.render.svg import escaped
from orchestrator.graph.vertex import VertexKind

if TYPE_CHECKING:
    from orchestrator.app.simulation.engine import Wish
    from orchestrator.app.simulation.faults import Fault
    from orchestrator.app.simulation.order import Simulated
    from orchestrator.app.simulation.play import Sample

WIDE: Final = 760.0
HIGH: Final = 120.0
"""Of one field."""
LEFT: Final = 72.0
RIGHT: Final = 150.0
HEAD: Final = 94.0
BETWEEN: Final = 46.0
FOOT: Final = 56.0
"""Rooms beside, above, between and below the fields; the names of the lines stand at the right."""
SLICES: Final = 60
"""Slices of time that requests are counted in."""
MOST_LINES: Final = 6
"""Lines of one field; of more nodes the busiest are drawn."""
LINES: Final[tuple[VertexKind, ...]] = ("router", "specialist", "tool", "model", "knowledge", "escalation")
DASHES: Final = ("", "7 4", "2 4", "9 3 2 3", "1 3", "12 3")


@dataclass(frozen=True, slots=True)
class Line:
    """One curve: its name, and its points (a moment, a value)."""

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Field:
    """One pair of axes: what it shows, its unit, its lines, and the ends of its scale, which is logarithmic where its ``foot`` is
    above 0."""

    title: str
    unit: str
    lines: Sequence[Line]
    top: float
    foot: float = 0.0

    def level(self, value: float) -> float:
        """How high a value stands, 0..1."""
        if not self.foot:
            return min(1.0, value / self.top)
        return max(0.0, min(1.0, log10(max(value, self.foot) / self.foot) / log10(self.top / self.foot)))

    def value(self, level: float) -> float:
        """Which value stands so high."""
        return self.foot * (self.top / self.foot) ** level if self.foot else self.top * level


def plot(simulated: Simulated) -> str:
    """Four fields above each other, on one axis of time."""
    fields = [_requests(simulated), _queues(simulated), _times(simulated), _busy(simulated)]
    load = simulated.story.load
    width, height = LEFT + WIDE + RIGHT, HEAD + len(fields) * (HIGH + BETWEEN) - BETWEEN + FOOT
    title = f"{simulated.blueprint.name}, simulated"
    about = f"{load.rps:g} requests a second for {load.duration:g} s, seed {load.seed}"
    size = f'viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-labelledby="orc-title orc-about">',
        f'<title id="orc-title">{escaped(title)}</title>',
        f'<desc id="orc-about">{escaped(about)}</desc>',
        f"<style>\n{_style()}\n</style>",
        f'<rect class="page" width="{width:.0f}" height="{height:.0f}" rx="10"/>',
        _text("title", 24, 34, title),
        _text("sub", 24, 54, about),
    ]
    tops = [HEAD + at * (HIGH + BETWEEN) for at in range(len(fields))]
    lines += [line for field, top in zip(fields, tops, strict=True) for line in _axes(field, top)]
    lines += [line for fault in load.faults for line in _fault(fault, load.duration, height)]
    lines += [line for field, top in zip(fields, tops, strict=True) for line in _curves(field, top, load.duration)]
    lines += _seconds(load.duration, height - FOOT)
    return "\n".join([*lines, "</svg>"]) + "\n"


# ---- what is shown --------------------------------------------------------------------------------------------------


def _requests(simulated: Simulated) -> Field:
    width = simulated.story.load.duration / SLICES
    kinds: dict[str, list[float]] = {
        name: [0.0] * SLICES for name in ("answered", "refused", "failed", "node down", "kept")
    }
    for wish in simulated.story.wishes:
        kinds[_kind(wish)][_slice(wish.at, width)] += 1 / width
    shown = [
        Line(name, [((at + 0.5) * width, value) for at, value in enumerate(values)])
        for name, values in kinds.items()
        if any(values)
    ]
    return _field("requests a second, by the moment at which they came", "", shown)


def _kind(wish: Wish) -> str:
    """By the names of the tables."""
    if wish.outcome in (ANSWERED, KEPT):
        return wish.outcome
    return "refused" if wish.outcome in REFUSED else "node down" if wish.outcome in (AWAY, GONE) else "failed"


def _slice(at: float, width: float) -> int:
    return min(SLICES - 1, int(at / width))


def _queues(simulated: Simulated) -> Field:
    samples = _within(simulated)
    names = sorted({name for sample in samples for name in sample.waiting})
    lines = [
        Line(name or "queue", [(s.at, float(s.waiting[name])) for s in samples if name in s.waiting]) for name in names
    ]
    return _field(f"requests that wait{_of(lines)}", "", _most(lines))


def _times(simulated: Simulated) -> Field:
    width = simulated.story.load.duration / SLICES
    slices: list[list[float]] = [[] for _ in range(SLICES)]
    for wish in simulated.story.wishes:
        if wish.outcome == ANSWERED:
            slices[_slice(wish.at, width)].append(wish.ended - wish.at)
    spreads = [((at + 0.5) * width, spread_of(found)) for at, found in enumerate(slices)]
    found = [(at, spread) for at, spread in spreads if spread is not None]
    lines = [Line("p50", [(at, s.p50) for at, s in found]), Line("p95", [(at, s.p95) for at, s in found])]
    values = [value for line in lines for _, value in line.points if value > 0]
    top = 10.0 ** ceil(log10(max(values, default=1.0)) + 1e-9)
    foot = min(top / 10, 10.0 ** floor(log10(min(values, default=1.0)) + 1e-9))
    return Field(
        "time until the answer, each step as many times more", "s", [line for line in lines if line.points], top, foot
    )


def _busy(simulated: Simulated) -> Field:
    samples = _within(simulated)
    servers = {(each.node, each.model): each.slots for each in simulated.figures.servers}
    few = [*samples[:: SAMPLES // SLICES], *samples[-1:]]
    lines = [Line(_server(*name), [*_shares(few, name, slots)]) for name, slots in servers.items()]
    return Field(f"busy, of a model's slots{_of(lines)}", "%", _most(lines), 100.0)


def _server(node: str, model: str) -> str:
    return f"{node} {model}".strip()


def _shares(samples: Sequence[Sample], name: tuple[str, str], slots: int) -> Iterator[tuple[float, float]]:
    """Of the time between two samples, in the middle of it; a model that is away is not busy."""
    for earlier, later in pairwise(samples):
        spent, span = later.busy.get(name, 0.0) - earlier.busy.get(name, 0.0), later.at - earlier.at
        if span > 0:
            yield (earlier.at + later.at) / 2, 100 * min(1.0, max(0.0, spent) / (span * slots))


def _within(simulated: Simulated) -> list[Sample]:
    return [sample for sample in simulated.story.samples if sample.at <= simulated.story.load.duration]


def _most(lines: Sequence[Line]) -> list[Line]:
    """Those with the most below them, where there are too many to tell apart."""
    if len(lines) <= MOST_LINES:
        return list(lines)
    return sorted(lines, key=lambda line: -sum(value for _, value in line.points))[:MOST_LINES]


def _of(lines: Sequence[Line]) -> str:
    return f", the {MOST_LINES} with the most of {len(lines)}" if len(lines) > MOST_LINES else ""


def _field(title: str, unit: str, lines: Sequence[Line]) -> Field:
    most = max((value for line in lines for _, value in line.points), default=0.0)
    return Field(title, unit, lines, _round_up(most))


def _round_up(value: float) -> float:
    """The next 1, 2 or 5 with zeros."""
    if value <= 0:
        return 1.0
    unit = 10.0 ** floor(log10(value))
    return float(next(step * unit for step in (1, 2, 5, 10) if value <= step * unit * (1 + 1e-9)))


# ---- drawing --------------------------------------------------------------------------------------------------------


def _axes(field: Field, top: float) -> Iterator[str]:
    yield f'<rect class="box" x="{LEFT:.1f}" y="{top:.1f}" width="{WIDE:.1f}" height="{HIGH:.1f}"/>'
    yield _text("name", LEFT, top - 9, field.title)
    for step in range(3):
        level = top + HIGH * (1 - step / 2)
        yield f'<path class="grid" d="M{LEFT:.1f} {level:.1f}h{WIDE:.1f}"/>'
        yield _text("sub", LEFT - 8, level + 4, f"{field.value(step / 2):.3g} {field.unit}".strip(), "end")


def _curves(field: Field, top: float, duration: float) -> Iterator[str]:
    for number, line in enumerate(field.lines):
        for unbroken in _unbroken(line.points):
            points = " ".join(
                f"{LEFT + at / duration * WIDE:.1f},{top + HIGH * (1 - field.level(value)):.1f}"
                for at, value in unbroken
            )
            yield f'<polyline class="curve c{number}" points="{points}"><title>{escaped(line.name)}</title></polyline>'
        level = top + 12 + 18 * number
        yield f'<path class="curve c{number}" d="M{LEFT + WIDE + 10:.1f} {level - 4:.1f}h20"/>'
        yield _text("sub", LEFT + WIDE + 36, level, fitted(line.name, 12, RIGHT - 40))


def _unbroken(points: Sequence[tuple[float, float]]) -> Iterator[Sequence[tuple[float, float]]]:
    """Where nothing was seen for longer than usual, the curve has a gap. A moment alone is a dot."""
    steps = sorted(later[0] - earlier[0] for earlier, later in pairwise(points))
    step, begins = 1.5 * steps[len(steps) // 2] if steps else 0.0, 0
    for at in range(1, len(points) + 1):
        if at == len(points) or points[at][0] - points[at - 1][0] > step:
            yield points[begins:at] if at - begins > 1 else [*points[begins:at]] * 2
            begins = at


def _fault(fault: Fault, duration: float, height: float) -> Iterator[str]:
    begins = LEFT + fault.at / duration * WIDE
    ends = duration if fault.after is None else min(duration, fault.at + fault.after)
    wide = (ends - fault.at) / duration * WIDE
    top, foot = HEAD - 8, height - FOOT
    name = f"{fault.name} fails"
    left = begins + text_width(name, 12) > LEFT + WIDE
    yield (
        f'<rect class="away" x="{begins:.1f}" y="{top:.1f}" width="{wide:.1f}" height="{foot - top:.1f}">'
        f"<title>{escaped(fault.written)}</title></rect>"
    )
    yield f'<path class="fault" d="M{begins:.1f} {top:.1f}V{foot:.1f}"/>'
    yield _text("fault-name", begins, foot + 36, name, "end" if left else "start")


def _seconds(duration: float, level: float) -> Iterator[str]:
    step = _round_up(duration / 8)
    for number in range(ceil(duration / step - 1e-9) + 1):
        at = number * step
        if at <= duration * (1 + 1e-9):
            yield _text("sub", LEFT + at / duration * WIDE, level + 17, f"{at:g} s", "middle")


def _text(class_: str, x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text class="{class_}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escaped(text)}</text>'


def _style() -> str:
    fixed = [
        "text{font-family:system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif}",
        ".title{font-size:18px;font-weight:650}.sub{font-size:12px}.name{font-size:13px;font-weight:600}",
        ".fault-name{font-size:12px;font-weight:600}.curve{fill:none;stroke-width:1.8;stroke-linejoin:round;stroke-linecap:round}",
        ".grid{fill:none;stroke-width:.5}.fault{fill:none;stroke-width:1.5;stroke-dasharray:5 4}.away{fill-opacity:.09}",
        *(f".c{at}{{stroke-dasharray:{dash}}}" for at, dash in enumerate(DASHES) if dash),
    ]
    dark = "".join(_colours(DARK))
    return "\n".join([*fixed, *_colours(LIGHT), f"@media (prefers-color-scheme:dark){{{dark}}}"])


def _colours(colours: Colours) -> list[str]:
    red = colours.kinds["escalation"]
    kinds: Mapping[VertexKind, str] = colours.kinds
    return [
        f".page{{fill:{colours.page}}}.box{{fill:{colours.box};stroke:{colours.edge}}}.grid{{stroke:{colours.edge}}}",
        f".title,.name{{fill:{colours.text}}}.sub{{fill:{colours.faint}}}",
        f".fault{{stroke:{red}}}.fault-name,.away{{fill:{red}}}",
        *(f".c{at}{{stroke:{kinds[kind]}}}" for at, kind in enumerate(LINES)),
    ]
