"""What is right of what is decided, against how much is decided and against what it costs: an SVG in light and dark."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from orchestrator.app.routing.figures import DEVIATIONS, wilson
from orchestrator.cli.view.tuned import Told, named, told_of
from orchestrator.graph.render.glyphs import fitted
from orchestrator.graph.render.palette import DARK, LIGHT, Colours
from orchestrator.graph.render.svg import escaped
from orchestrator.graph.vertex import VertexKind

if TYPE_CHECKING:
    from orchestrator.app.routing.search import Tally
    from orchestrator.app.routing.tune import Tuned

WIDE: Final = 380.0
HIGH: Final = 240.0
"""Of one field."""
MARGIN: Final = 28.0
LEFT: Final = 30.0
HEAD: Final = 116.0
FOOT: Final = 104.0
BETWEEN: Final = 76.0
"""Rooms around all; beside, above and below a field; and between two."""
LINES: Final[tuple[VertexKind, ...]] = ("router", "model", "tool", "knowledge")
"""Colours of the palette for curves; each has its dash too."""
DASHES: Final = ("", "7 4", "2 4", "9 3 2 3")
RING: Final = 8.0
SPOT: Final = 4.5
"""Radii of what is now and of what is proposed: where both do the same, one lies in the other and both are seen."""
TELLING: Final = 0.05
"""A curve that spans less than this share of its field is no more than a line up and down, and left out."""
STEPS: Final = (1.0, 2.0, 2.5, 5.0, 10.0)
"""What a quarter of an axis may be, times a power of ten."""


class Spot(NamedTuple):
    """Of ``of`` requests ``kept`` were decided and ``right`` of them rightly, at ``cost`` a request; ``about`` is what it is."""

    of: int
    kept: int
    right: int
    cost: float
    about: str


@dataclass(frozen=True, slots=True)
class Field:
    """A pair of axes: where it begins, what lies along its foot up to ``most``, and the least share at its left."""

    x: float
    y: float
    label: str
    along: Callable[[Spot], float]
    most: float
    least: float
    unit: Callable[[float], str]

    def at(self, spot: Spot) -> tuple[float, float]:
        """Where a spot is drawn."""
        return self.x + self.along(spot) / self.most * WIDE, self.level(spot.right / spot.kept)

    def level(self, share: float) -> float:
        """The height of a share."""
        return self.y + (1 - max(share, self.least)) / (1 - self.least) * HIGH


def plot(told: Told) -> str:
    """A row of two fields for each router."""
    row = HEAD + HIGH + FOOT
    width, height = 2 * MARGIN + LEFT + 2 * WIDE + BETWEEN, row * len(told.found) + MARGIN
    about = escaped(f"Measured on requests that nothing was proposed from; the target is {told.wish.target:.4g}.")
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
        f'height="{height:.0f}" role="img" aria-labelledby="orc-title orc-about">'
    )
    title = escaped("Routers: " + ", ".join(one.router for one in told.found))
    body = [line for at, one in enumerate(told.found) for line in _row(one, told.wish.target, at * row)]
    head = [f'<title id="orc-title">{title}</title>', f'<desc id="orc-about">{about}</desc>']
    page = f'<rect class="page" width="{width:.0f}" height="{height:.0f}" rx="10"/>'
    return "\n".join([opening, *head, f"<style>\n{_style()}\n</style>", page, *body, "</svg>"]) + "\n"


def _row(one: Tuned, target: float, top: float) -> Iterator[str]:
    asks = _asks(one)
    lines = [[_of_curve(share, of, asks) for share, of in found if of.kept] for found in one.curves.values()]
    points = [spot for spot in _measured(one, asks) if spot.kept]
    spots = [spot for line in lines for spot in (*line, *points)] or points
    least = max(0.0, math.floor(min([0.9, target, *(spot.right / spot.kept for spot in spots)]) * 10 - 1e-9) / 10)
    yield _text("title", MARGIN, top + 38, f"router {one.router}")
    for at, words in enumerate(_told(one)):
        yield _mark(_kind(words.partition(":")[0]), MARGIN + RING, top + 53 + 17 * at)
        yield _text("sub", MARGIN + 3 * RING, top + 57 + 17 * at, words)
    x, y = MARGIN + LEFT, top + HEAD
    decided = Field(x, y, "decided, of all requests", lambda spot: spot.kept / spot.of, 1.0, least, _percent)
    for field in (decided, _of_cost(spots, asks, (x + WIDE + BETWEEN, y), least)):
        yield from _axes(field, target)
        for number, line in enumerate(lines):
            yield from _curve(field, line, number) if _tells(field, line) else ()
        yield from (_point(field, spot) for spot in points)
    without = ", the model not asked" if asks else ""
    orders = [", ".join(order) + without if line else "" for order, line in zip(one.curves, lines, strict=True)]
    yield from _legend(orders, target, y + HIGH + 58)


def _told(one: Tuned) -> list[str]:
    lines = [f"now: {told_of(one.now)}"]
    if one.proposed is not None:
        lines.append(f"{named(one)}: {told_of(one.proposed)}")
    return [fitted(line, 12, 2 * WIDE) for line in lines]


def _kind(name: str) -> str:
    return "now" if name == "now" else "then"


def _mark(kind: str, x: float, y: float) -> str:
    """A ring for what is now, a spot for the other."""
    return f'<circle class="spot {kind}" cx="{x:.1f}" cy="{y:.1f}" r="{RING - 1 if kind == "now" else SPOT}"/>'


def _tells(field: Field, line: Sequence[Spot]) -> bool:
    """Whether the curve says anything here: no threshold changes how long stages compute that are asked of every request."""
    along = [field.along(spot) for spot in line]
    return bool(along) and (len(along) == 1 or max(along) - min(along) > TELLING * field.most)


def _of_cost(spots: Sequence[Spot], asks: bool, at: tuple[float, float], least: float) -> Field:
    """Calls to a model where there are any, else time of computing."""
    if asks:
        return Field(*at, "asked of a model, of all requests", lambda spot: spot.cost, 1.0, least, _percent)
    most = _round_up(1.1 * max((spot.cost for spot in spots), default=0.0))
    return Field(*at, "computing time of a request", lambda spot: spot.cost, most, least, _milliseconds)


def _round_up(most: float) -> float:
    """To four steps that are easily read; 1 of nothing."""
    if most <= 0:
        return 1.0
    tenth = 10.0 ** math.floor(math.log10(most / 4))
    return 4 * tenth * next(step for step in STEPS if step * tenth * 4 >= most * (1 - 1e-9))


def _asks(one: Tuned) -> bool:
    return any(of.calls for found in one.curves.values() for _, of in found)


def _of_curve(share: float, of: Tally, asks: bool) -> Spot:
    cost = (of.calls if asks else of.seconds) / of.of
    return Spot(of.of, of.kept, of.right, cost, f"confidence {share * 100:g}%")


def _measured(one: Tuned, asks: bool) -> Iterator[Spot]:
    for measured, name in ((one.now_measured, "now"), (one.proposed_measured, named(one))):
        if measured is not None:
            share = measured.figures.decided_right
            cost = measured.calls / measured.of if asks else measured.seconds
            yield Spot(measured.of, share.of, share.right, cost, name)


def _axes(field: Field, target: float) -> Iterator[str]:
    x, y = field.x, field.y
    yield f'<rect class="box" x="{x:.1f}" y="{y:.1f}" width="{WIDE:.1f}" height="{HIGH:.1f}"/>'
    for step in range(5):
        share = field.least + (1 - field.least) * step / 4
        level, across = field.level(share), x + WIDE * step / 4
        yield f'<path class="grid" d="M{x:.1f} {level:.1f}h{WIDE:.1f}M{across:.1f} {y:.1f}v{HIGH:.1f}"/>'
        yield _text("sub", x - 8, level + 4, _percent(share), "end")
        yield _text("sub", across, y + HIGH + 17, field.unit(field.most * step / 4), "end" if step == 4 else "middle")
    yield f'<path class="goal" d="M{x:.1f} {field.level(target):.1f}h{WIDE:.1f}"><title>target {_percent(target)}</title></path>'
    yield _text("sub", x, y - 14, "right, of what is decided")
    yield _text("sub", x + WIDE / 2, y + HIGH + 36, field.label, "middle")


def _curve(field: Field, line: Sequence[Spot], number: int) -> Iterator[str]:
    drawn = [field.at(spot) for spot in line]
    if drawn:
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in drawn)
        yield f'<path class="curve c{number % len(LINES)}" d="M{path}"/>'
    for spot, (x, y) in zip(line, drawn, strict=True):
        yield f'<circle class="dot c{number % len(LINES)}" cx="{x:.1f}" cy="{y:.1f}" r="2"><title>{_tip(spot)}</title></circle>'


def _point(field: Field, spot: Spot) -> str:
    """With its interval; whose it is stands at the head, where no curve can cover it."""
    x, y = field.at(spot)
    low, high = (field.level(share) for share in wilson(spot.right, spot.kept, DEVIATIONS))
    kind = _kind(spot.about)
    reach = f'<path class="reach {kind}" d="M{x:.1f} {low:.1f}V{high:.1f}"/>'
    return f"<g><title>{_tip(spot)}</title>{reach}{_mark(kind, x, y)}</g>"


def _tip(spot: Spot) -> str:
    return escaped(f"{spot.about}: {spot.kept} of {spot.of} decided, {spot.right} of them rightly")


def _legend(orders: Sequence[str], target: float, y: float) -> Iterator[str]:
    """What the lines are; an empty order has none."""
    told = [
        (f"curve c{number % len(LINES)}", f"every confidence: {order}") for number, order in enumerate(orders) if order
    ]
    for at, (line, text) in enumerate([("goal", f"the target: {_percent(target)}"), *told]):
        level = y + 16 * at
        yield f'<path class="{line}" d="M{MARGIN + LEFT:.0f} {level - 4:.0f}h26"/>'
        yield _text("sub", MARGIN + LEFT + 34, level, text)


def _text(class_: str, x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text class="{class_}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escaped(text)}</text>'


def _percent(share: float) -> str:
    return f"{share * 100:.3g}%"


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.2g} ms"


def _style() -> str:
    fixed = [
        "text{font-family:system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif}",
        ".title{font-size:18px;font-weight:650}.sub{font-size:12px}",
        ".curve{fill:none;stroke-width:2}.grid{fill:none;stroke-width:.5}.goal{stroke-width:1.5;stroke-dasharray:5 4}",
        ".reach.now{stroke-width:6;stroke-opacity:.3}.reach.then{stroke-width:2}",
        ".spot.now{fill:none;stroke-width:2.5}.spot.then{stroke-width:1}",
        *(f".curve.c{at}{{stroke-dasharray:{dash}}}" for at, dash in enumerate(DASHES) if dash),
    ]
    dark = "".join(_colours(DARK))
    return "\n".join([*fixed, *_colours(LIGHT), f"@media (prefers-color-scheme:dark){{{dark}}}"])


def _colours(colours: Colours) -> list[str]:
    now, then = colours.text, colours.kinds["specialist"]
    return [
        f".page{{fill:{colours.page}}}.box{{fill:{colours.box};stroke:{colours.edge}}}.grid{{stroke:{colours.edge}}}",
        f".title{{fill:{colours.text}}}.sub{{fill:{colours.faint}}}.goal{{stroke:{colours.kinds['escalation']}}}",
        *(
            f".curve.c{at}{{stroke:{colours.kinds[kind]}}}.dot.c{at}{{fill:{colours.kinds[kind]}}}"
            for at, kind in enumerate(LINES)
        ),
        *(
            f".reach.{name}{{stroke:{colour}}}.spot.{name}{{stroke:{colour}}}"
            for name, colour in (("now", now), ("then", then))
        ),
        f".spot.then{{fill:{then}}}",
    ]
