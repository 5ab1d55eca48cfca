"""The graph as a picture: an SVG that needs no program but a browser."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import Final

from orchestrator.graph.graph import AgentGraph
from orchestrator.graph.link import LinkKind
from orchestrator.graph.render.glyphs import fitted, text_width
from orchestrator.graph.render.layout.drawing import Box, Curve, Drawing, Point, lay_out
from orchestrator.graph.render.palette import style_sheet
from orchestrator.graph.render.words import LINK_WORDS, counted
from orchestrator.graph.vertex import Vertex

MARGIN: Final = 28.0
HEAD: Final = 72.0
"""Room for the title, above the drawing."""
FOOT: Final = 44.0
"""Room for the legend, below it."""
ENTER: Final = 84.0
"""Room for the word ``request`` and its arrow, left of the drawing."""
WIDEST: Final = 268.0
NARROWEST: Final = 132.0
NAME: Final = 14.3
KIND: Final = 10.4
ABOUT: Final = 11.0
"""Sizes of the texts in a box, in pixels, with a tenth more for the bold ones."""
ROOM_FOR_MANY: Final = 24
"""A graph with more agents gets lower boxes."""
MOST_HIGHLIGHTED: Final = 250
"""A graph with more vertices does not light up what the pointer is on, to keep the file small."""
_FORBIDDEN: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render_svg(graph: AgentGraph) -> str:
    """A standalone SVG in light and dark. What the pointer is on shows its whole text and its links."""
    high = len(graph.vertices("specialist", "escalation")) <= ROOM_FOR_MANY
    drawing = lay_out(graph, lambda vertex: _size(vertex, high))
    legend = _legend(graph)
    width = max(drawing.width + ENTER, text_width(graph.name, 18), text_width(counted(graph), 14), _legend_width(graph))
    width += 2 * MARGIN
    height = drawing.height + HEAD + FOOT + MARGIN
    numbers = {vertex.address: number for number, vertex in enumerate(graph.vertices())}
    body = [
        f'<rect class="page" width="{width:.0f}" height="{height:.0f}" rx="10"/>',
        *_title(graph),
        f'<g transform="translate({MARGIN + ENTER:.0f} {HEAD:.0f})">',
        *(_curve(curve, numbers) for curve in sorted(drawing.curves, key=_strength)),
        *_entry(graph, drawing),
        *(_box(box, numbers[box.vertex.address]) for box in drawing.boxes),
        "</g>",
        f'<g transform="translate({MARGIN:.0f} {height - FOOT / 2:.0f})">{legend}</g>',
    ]
    style = style_sheet() + _highlights(len(numbers))
    return _document(graph, (width, height), style, body)


def _document(graph: AgentGraph, size: Point, style: str, body: list[str]) -> str:
    width, height = size
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
        f'height="{height:.0f}" role="img" aria-labelledby="orc-title orc-about">'
    )
    about = escaped(f"{graph.type} with {counted(graph)}; requests enter at {graph.entry or 'nowhere'}.")
    head = [f'<title id="orc-title">{escaped(graph.name)}</title>', f'<desc id="orc-about">{about}</desc>']
    return "\n".join([opening, *head, f"<style>\n{style}\n</style>", *body, "</svg>"]) + "\n"


def _title(graph: AgentGraph) -> list[str]:
    return [
        f'<text class="title" x="{MARGIN:.0f}" y="34">{escaped(graph.name)}</text>',
        f'<text class="sub" x="{MARGIN:.0f}" y="53">{escaped(f"{graph.type} · {counted(graph)}")}</text>',
    ]


def _size(vertex: Vertex, high: bool) -> Point:
    name, kind = text_width(vertex.name, NAME), text_width(vertex.kind.upper(), KIND)
    about = text_width(vertex.about, ABOUT) + 8 if vertex.about else 0.0
    needed = max(name, kind + 4 + about) if high else name + kind + 16
    return min(WIDEST, max(NARROWEST, needed + 32)), 46.0 if high else 28.0


def _box(box: Box, number: int) -> str:
    vertex = box.vertex
    parts = [
        f'<g class="v{number}" transform="translate({box.x:.1f} {box.y:.1f})"><title>{_tip(vertex)}</title>',
        f'<rect class="box" width="{box.width:.1f}" height="{box.height:.1f}" rx="7"/>',
        f'<rect class="bar {vertex.kind}" x="7" y="7" width="4" height="{box.height - 14:.1f}" rx="2"/>',
        *(_one_line(box) if box.height < 40 else _two_lines(box)),
    ]
    return "".join([*parts, "</g>"])


def _one_line(box: Box) -> Iterator[str]:
    vertex = box.vertex
    kind = text_width(vertex.kind.upper(), KIND)
    yield _words("name", 19, 18.5, fitted(vertex.name, NAME, box.width - kind - 44))
    yield _words(f"kind {vertex.kind}", box.width - 10, 17.5, vertex.kind, 'text-anchor="end"')


def _two_lines(box: Box) -> Iterator[str]:
    vertex = box.vertex
    kind = text_width(vertex.kind.upper(), KIND)
    yield _words("name", 19, 20, fitted(vertex.name, NAME, box.width - 30))
    yield _words(f"kind {vertex.kind}", 19, 36, vertex.kind)
    if vertex.about:
        yield _words("about", 28 + kind, 36.5, fitted(vertex.about, ABOUT, box.width - 40 - kind))


def _words(class_: str, x: float, y: float, text: str, more: str = "") -> str:
    return f'<text class="{class_}" x="{x:.1f}" y="{y:.1f}"{" " if more else ""}{more}>{escaped(text)}</text>'


def _curve(curve: Curve, numbers: dict[str, int]) -> str:
    link = curve.link
    ends = f"t{numbers[link.source]} t{numbers[link.target]}"
    label = f": {link.label}" if link.label else ""
    tip = escaped(f"{link.source} {LINK_WORDS[link.kind]} {link.target}{label}")
    return (
        f'<g class="tie {ends}"><title>{tip}</title><path class="link {link.kind}" d="{_path(curve.points)}"/>'
        f"{_head(curve.points, link.kind)}</g>"
    )


def _path(points: tuple[Point, ...]) -> str:
    """Curves leave and reach boxes level. Within a column, where a long link passes between boxes, it runs straight."""
    (x, y), *rest = points
    drawn = [f"M{x:.1f} {y:.1f}"]
    for index, (to_x, to_y) in enumerate(rest):
        if len(points) == 2 and abs(to_x - x) < 10:
            bend = 26 + 0.2 * abs(to_y - y)
            drawn.append(f"C{x + bend:.1f} {y:.1f} {to_x + bend:.1f} {to_y:.1f} {to_x:.1f} {to_y:.1f}")
        elif index % 2:
            drawn.append(f"L{to_x:.1f} {to_y:.1f}")
        else:
            half = (to_x - x) / 2
            drawn.append(f"C{x + half:.1f} {y:.1f} {to_x - half:.1f} {to_y:.1f} {to_x:.1f} {to_y:.1f}")
        x, y = to_x, to_y
    return "".join(drawn)


def _head(points: tuple[Point, ...], kind: str) -> str:
    """The arrow's head at the last point, level. Drawn by hand: markers do not take the colour of their line everywhere."""
    (before, _), (x, y) = points[-2:]
    back = -7 if x > before else 7
    if len(points) == 2 and abs(x - before) < 10:
        back = 7
    return f'<path class="head {kind}" d="M{x - (back > 0) * 6 + (back < 0) * 6:.1f} {y:.1f}l{back} -4v8z"/>'


def _entry(graph: AgentGraph, drawing: Drawing) -> Iterator[str]:
    for box in drawing.boxes:
        if box.vertex.address == graph.entry:
            y = box.y + box.height / 2
            yield f'<text class="sub" x="{box.x - ENTER:.1f}" y="{y + 4:.1f}">request</text>'
            yield f'<path class="link enter" d="M{box.x - 36:.1f} {y:.1f}H{box.x - 6:.1f}"/>'
            yield f'<path class="head enter" d="M{box.x:.1f} {y:.1f}l-7 -4v8z"/>'


def _legend(graph: AgentGraph) -> str:
    parts = []
    x = 0.0
    for kind in _link_kinds(graph):
        words = LINK_WORDS[kind]
        parts.append(
            f'<path class="link {kind}" d="M{x:.0f} 0h26"/><path class="head {kind}" d="M{x + 33:.0f} 0l-7 -4v8z"/>'
        )
        parts.append(f'<text class="sub" x="{x + 40:.0f}" y="4">{words}</text>')
        x += _entry_width(words)
    return "".join(parts)


def _legend_width(graph: AgentGraph) -> float:
    return sum(_entry_width(LINK_WORDS[kind]) for kind in _link_kinds(graph))


def _entry_width(words: str) -> float:
    return 62 + text_width(words, 12)


def _link_kinds(graph: AgentGraph) -> list[LinkKind]:
    present = {link.kind for link in graph.links()}
    return [kind for kind in LINK_WORDS if kind in present]


def _strength(curve: Curve) -> int:
    """Thin lines first, so that the way of a request lies on top."""
    return -list(LINK_WORDS).index(curve.link.kind)


def _highlights(count: int) -> str:
    if count > MOST_HIGHLIGHTED:
        return ""
    rules = (f"svg:has(.v{number}:hover) .tie:not(.t{number}){{opacity:.08}}" for number in range(count))
    return "\n" + "\n".join(rules)


def _tip(vertex: Vertex) -> str:
    about = f"\n{vertex.about}" if vertex.about else ""
    return escaped(f"{vertex.address} ({vertex.kind}){about}")


def escaped(text: str) -> str:
    """As it may stand in XML."""
    return html.escape(_FORBIDDEN.sub("\ufffd", text))
