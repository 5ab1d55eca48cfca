"""The agent graph. The only file that knows networkx, which is loaded when an algorithm of it is needed (0.1 s of import)."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from orchestrator.core.memory import Budget
from orchestrator.graph.link import FLOW, Link, LinkKind
from orchestrator.graph.vertex import Vertex, VertexKind

if TYPE_CHECKING:
    import networkx as nx


class FrozenGraphError(Exception):
    """A change of a graph that is built."""


class AgentGraph:
    """Vertices by address and the links between them, in the order of the manifest. Frozen once it is built.

    What every command asks (who is next to whom, what can be reached, is there a cycle at all) is answered from plain maps;
    finding cycles and laying out layers is networkx's work.
    """

    def __init__(self, name: str, type_: str) -> None:
        self.name = name
        self.type = type_
        self.entry = ""
        self.budgets: Mapping[str, Budget] = {}
        """What models may take, where the manifest says what the device has: by node, ``""`` for the only one."""
        self._vertices: dict[str, Vertex] = {}
        self._out: dict[str, dict[tuple[str, LinkKind], Link]] = {}
        self._into: dict[str, dict[tuple[str, LinkKind], Link]] = {}
        self._frozen = False

    def add(self, vertex: Vertex) -> None:
        """Add a vertex; a later one of the same address replaces it."""
        self._check_open()
        self._vertices[vertex.address] = vertex
        self._out.setdefault(vertex.address, {})
        self._into.setdefault(vertex.address, {})

    def link(self, link: Link) -> None:
        """Add an arrow; both ends must be there. A later one of the same kind between the same two replaces it."""
        self._check_open()
        for end in (link.source, link.target):
            if end not in self:
                raise KeyError(end)
        self._out[link.source][link.target, link.kind] = link
        self._into[link.target][link.source, link.kind] = link

    def freeze(self) -> AgentGraph:
        """No change from now on."""
        self._frozen = True
        return self

    @property
    def frozen(self) -> bool:
        """Whether it can no longer change."""
        return self._frozen

    def __contains__(self, address: object) -> bool:
        return address in self._vertices

    def __getitem__(self, address: str) -> Vertex:
        return self._vertices[address]

    def __len__(self) -> int:
        return len(self._vertices)

    def vertices(self, *kinds: VertexKind) -> list[Vertex]:
        """All vertices, or those of some kinds."""
        return [vertex for vertex in self._vertices.values() if not kinds or vertex.kind in kinds]

    def links(self, *kinds: LinkKind) -> list[Link]:
        """All links, or those of some kinds."""
        return [link for out in self._out.values() for link in out.values() if not kinds or link.kind in kinds]

    def out_of(self, address: str, *kinds: LinkKind) -> list[Link]:
        """The links that leave a vertex."""
        return [link for link in self._out[address].values() if not kinds or link.kind in kinds]

    def into(self, address: str, *kinds: LinkKind) -> list[Link]:
        """The links that reach a vertex."""
        return [link for link in self._into[address].values() if not kinds or link.kind in kinds]

    def reachable(self, address: str, kinds: Collection[LinkKind] = FLOW) -> set[str]:
        """Every address that can be reached along links of these kinds, the start included."""
        return self.reachable_from([address], kinds)

    def reachable_from(self, addresses: Collection[str], kinds: Collection[LinkKind] = FLOW) -> set[str]:
        """The same from any of several."""
        seen, waiting = set(addresses), list(addresses)
        while waiting:
            for link in self.out_of(waiting.pop()):
                if link.kind in kinds and link.target not in seen:
                    seen.add(link.target)
                    waiting.append(link.target)
        return seen

    def cycles(self, kinds: Collection[LinkKind] = FLOW) -> Iterator[list[str]]:
        """One cycle for each tangle of links of these kinds, as a path that ends where it begins.

        A graph of n agents may hold 2^n simple cycles; one a strongly connected component is what a person can mend.
        """
        if not self._has_cycle(kinds):
            return
        import networkx as nx

        view: nx.DiGraph[str] = nx.DiGraph()
        view.add_edges_from((link.source, link.target) for link in self.links() if link.kind in kinds)
        order = list(self._vertices)
        for component in nx.strongly_connected_components(view):
            inner = view.subgraph(component)
            if len(component) > 1 or any(inner.has_edge(address, address) for address in component):
                start = min(component, key=order.index)
                edges = list(nx.find_cycle(inner, start))
                yield [edges[0][0], *(target for _, target in edges)]

    def _has_cycle(self, kinds: Collection[LinkKind]) -> bool:
        """Whether any cycle is left once vertices that nothing leads to are taken away, again and again (Kahn, 1962)."""
        waits = {address: sum(link.kind in kinds for link in into.values()) for address, into in self._into.items()}
        free = deque(address for address, count in waits.items() if count == 0)
        taken = 0
        while free:
            taken += 1
            for link in self.out_of(free.popleft()):
                if link.kind in kinds:
                    waits[link.target] -= 1
                    if waits[link.target] == 0:
                        free.append(link.target)
        return taken < len(waits)

    def _check_open(self) -> None:
        if self._frozen:
            raise FrozenGraphError("a graph that is built does not change")

    def layers(self) -> list[list[str]]:
        """Addresses by their longest distance from the entry, cycles ignored; for drawings."""
        import networkx as nx

        view: nx.DiGraph[str] = nx.DiGraph()
        view.add_nodes_from(self._vertices)
        view.add_edges_from((link.source, link.target) for link in _forward(self.links()))
        acyclic = view if nx.is_directed_acyclic_graph(view) else _without_cycles(view)
        return [list(layer) for layer in nx.topological_generations(acyclic)]


def _forward(links: Iterable[Link]) -> Iterator[Link]:
    return (link for link in links if link.source != link.target)


def _without_cycles(view: nx.DiGraph[str]) -> nx.DiGraph[str]:
    import networkx as nx

    tree = view.copy()
    while True:
        try:
            cycle = nx.find_cycle(tree)
        except nx.NetworkXNoCycle:
            return tree
        tree.remove_edge(*cycle[-1][:2])
