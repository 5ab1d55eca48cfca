"""The agent graph. The only file that knows networkx."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

import networkx as nx

from orchestrator.graph.link import FLOW, Link, LinkKind
from orchestrator.graph.vertex import Vertex, VertexKind


class AgentGraph:
    """Vertices by address and the links between them, in the order of the manifest. Frozen once it is built."""

    def __init__(self, name: str, type_: str) -> None:
        self.name = name
        self.type = type_
        self.entry = ""
        self._graph: nx.MultiDiGraph[str] = nx.MultiDiGraph()

    def add(self, vertex: Vertex) -> None:
        """Add a vertex; a later one of the same address replaces it."""
        self._graph.add_node(vertex.address, vertex=vertex)

    def link(self, link: Link) -> None:
        """Add an arrow; both ends must be there. The same arrow twice is one."""
        for end in (link.source, link.target):
            if end not in self:
                raise KeyError(end)
        self._graph.add_edge(link.source, link.target, key=link.kind, link=link)

    def freeze(self) -> AgentGraph:
        """No change from now on."""
        nx.freeze(self._graph)
        return self

    @property
    def frozen(self) -> bool:
        """Whether it can no longer change."""
        return bool(nx.is_frozen(self._graph))

    def __contains__(self, address: object) -> bool:
        return isinstance(address, str) and address in self._graph

    def __getitem__(self, address: str) -> Vertex:
        vertex: Vertex = self._graph.nodes[address]["vertex"]
        return vertex

    def __len__(self) -> int:
        return len(self._graph)

    def vertices(self, *kinds: VertexKind) -> list[Vertex]:
        """All vertices, or those of some kinds."""
        found = (attributes["vertex"] for _, attributes in self._graph.nodes(data=True))
        return [vertex for vertex in found if not kinds or vertex.kind in kinds]

    def links(self, *kinds: LinkKind) -> list[Link]:
        """All links, or those of some kinds."""
        found = (attributes["link"] for _, _, attributes in self._graph.edges(data=True))
        return [link for link in found if not kinds or link.kind in kinds]

    def out_of(self, address: str, *kinds: LinkKind) -> list[Link]:
        """The links that leave a vertex."""
        found = (attributes["link"] for _, _, attributes in self._graph.out_edges(address, data=True))
        return [link for link in found if not kinds or link.kind in kinds]

    def into(self, address: str, *kinds: LinkKind) -> list[Link]:
        """The links that reach a vertex."""
        found = (attributes["link"] for _, _, attributes in self._graph.in_edges(address, data=True))
        return [link for link in found if not kinds or link.kind in kinds]

    def reachable(self, address: str, kinds: Collection[LinkKind] = FLOW) -> set[str]:
        """Every address that can be reached along links of these kinds, the start included."""
        seen, waiting = {address}, [address]
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
        view: nx.DiGraph[str] = nx.DiGraph()
        view.add_edges_from((link.source, link.target) for link in self.links() if link.kind in kinds)
        for component in nx.strongly_connected_components(view):
            inner = view.subgraph(component)
            if len(component) > 1 or any(inner.has_edge(address, address) for address in component):
                start = min(component, key=list(self._graph).index)
                edges = list(nx.find_cycle(inner, start))
                yield [edges[0][0], *(target for _, target in edges)]

    def layers(self) -> list[list[str]]:
        """Addresses by their longest distance from the entry, cycles ignored; for drawings."""
        view: nx.DiGraph[str] = nx.DiGraph()
        view.add_nodes_from(self._graph.nodes)
        view.add_edges_from((link.source, link.target) for link in _forward(self.links()))
        acyclic = view if nx.is_directed_acyclic_graph(view) else _without_cycles(view)
        return [list(layer) for layer in nx.topological_generations(acyclic)]


def _forward(links: Iterable[Link]) -> Iterator[Link]:
    return (link for link in links if link.source != link.target)


def _without_cycles(view: nx.DiGraph[str]) -> nx.DiGraph[str]:
    tree = view.copy()
    while True:
        try:
            cycle = nx.find_cycle(tree)
        except nx.NetworkXNoCycle:
            return tree
        tree.remove_edge(*cycle[-1][:2])
