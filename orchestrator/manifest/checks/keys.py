"""Keys that do not belong to an agent's role, to the kind of deployment, or together."""

from __future__ import annotations

from typing import Final

from orchestrator.manifest.faults import fault
from orchestrator.manifest.inference.draft import Draft
from orchestrator.manifest.inference.models import aliases, is_embedder
from orchestrator.manifest.spec.agent import AgentEntry, Route

_OF_ROUTERS: Final = (
    "strategy",
    "routing_strategy",
    "stages",
    "encoder",
    "routes",
    "default",
    "several",
    "confidence",
    "model_confidence",
)
_OF_ANSWERERS: Final = (
    *("reflex", "tools", "knowledge", "output_schema", "skills", "examples", "keywords", "specialized_for", "template"),
    *("exclusive", "replicas", "alternatives", "node_labels"),
    *("complexity", "offline_mode", "privacy_mode", "compliance", "store_and_forward", "budget"),
)
_OF_MESHES: Final = ("exclusive", "replicas", "alternatives", "node_labels")
_BLIND: Final = ("complexity", "fixed", "round-robin", "sticky", "least-loaded", "priority")


def check_keys(draft: Draft) -> None:
    """Every key means something where it stands."""
    _check_deployment(draft)
    primaries = [model.alias for model in draft.models.values() if model.primary]
    for alias in primaries[1:]:
        message = f"{primaries[0]} and {alias} are both primary"
        draft.tell("ORC222", message, (f"model.{alias}", ("primary",)))
    for agent in draft.agents.values():
        _check_role(draft, agent)
        _check_placement(draft, agent)
        _check_kinds_of_models(draft, agent)
        if agent.role == "router":
            _check_router(draft, agent)


def _check_deployment(draft: Draft) -> None:
    deployment = draft.deployment
    draft.origins["deployment"] = ("deployment",)
    if deployment.type == "single-device":
        for key in ("nodes", "coordination"):
            if draft.holds("deployment", key):
                message = f'"{key}" belongs to distributed-edge, and this is a single-device deployment'
                draft.tell("ORC212", message, ("deployment", (key,)))
    elif not deployment.nodes:
        draft.tell("ORC213", "a distributed-edge deployment without nodes", ("deployment", ("type",)))


def _check_role(draft: Draft, agent: AgentEntry) -> None:
    at = draft.address(agent)
    if agent.role != "router":
        _refuse_keys(draft, at, _OF_ROUTERS, "means something for routers only")
    else:
        _refuse_keys(draft, at, _OF_ANSWERERS, "means nothing for a router, which only chooses")
    if agent.role != "escalation":
        _refuse_keys(draft, at, ("human",), "means something for escalations only")
    elif agent.human is not None:
        _refuse_keys(draft, at, ("model", "store_and_forward"), "means nothing where a person answers")


def _check_placement(draft: Draft, agent: AgentEntry) -> None:
    """What says on which nodes an agent may be needs nodes, and does not say two things at once."""
    at = draft.address(agent)
    if draft.deployment.type == "single-device" and agent.role != "router":
        for key in _OF_MESHES:
            if draft.holds(at, key):
                draft.tell(
                    "ORC212",
                    f'"{key}" belongs to distributed-edge, and this is a single-device deployment',
                    (at, (key,)),
                )
    restricted = agent.privacy_mode or bool(agent.compliance)
    if agent.replicas > 1 and (agent.exclusive or restricted):
        why = (
            "an exclusive agent answers on one node at a time"
            if agent.exclusive
            else "restricted data stays on its node"
        )
        draft.tell(
            "ORC221", f'"replicas" is more than one, and {why}', (at, ("replicas",)), cure="remove one of the two"
        )


def _refuse_keys(draft: Draft, at: str, keys: tuple[str, ...], why: str) -> None:
    for key in keys:
        if draft.holds(at, key):
            place = draft.loaded.marks.key(draft.path(at, key))
            draft.add(fault("ORC221", f'"{key}" {why}', place), at)


def _check_router(draft: Draft, router: AgentEntry) -> None:
    at = draft.address(router)
    if router.strategy == "fixed" and router.default is None and len(router.routes) != 1:
        draft.tell(
            "ORC131",
            "the strategy fixed needs a default, or exactly one route",
            (at, ("strategy",)),
            cure="add default: …",
        )
    if router.encoder is not None and not _has_encoder(router):
        draft.tell("ORC221", '"encoder" means something for the stage semantic only', (at, ("encoder",)))
    _check_needs(draft, router)
    if "complexity" in (router.strategy, *router.stages) and not _is_claimed(draft, router):
        keys = ("strategy",) if router.strategy == "complexity" else ("stages", router.stages.index("complexity"))
        message = "the strategy complexity needs an agent that claims one"
        draft.tell("ORC131", message, (at, keys), cure="add complexity: [simple] (moderate, complex) to the agents")
    _check_several(draft, router)
    _check_strict(draft, router)
    if router.stages and router.strategy != "cascade":
        draft.tell("ORC221", '"stages" means something for the strategy cascade only', (at, ("stages",)))


def _check_needs(draft: Draft, router: AgentEntry) -> None:
    """What vectors or a model choose by cannot be chosen by without them. A cascade may have ``intent`` without a model: what its
    other stages leave open stays open."""
    at = draft.address(router)
    if "semantic" in (router.strategy, *router.stages) and router.encoder is None:
        keys = ("strategy",) if router.strategy == "semantic" else ("stages", router.stages.index("semantic"))
        message = "the strategy semantic needs an encoder"
        draft.tell(
            "ORC131", message, (at, keys), cure="add encoder: minilm, a folder, or the alias of an embedding model"
        )
    if router.strategy == "intent" and not aliases(router):
        message = "the strategy intent needs a model, and the router has none"
        draft.tell("ORC131", message, (at, ("strategy",)), cure="add model: …, or tasks: [routing] to a model")


def _check_several(draft: Draft, router: AgentEntry) -> None:
    """What does not look at what is asked gives each clause to somebody, whatever it is."""
    at = draft.address(router)
    used = [stage for stage in (router.strategy or "cascade", *router.stages) if stage in _BLIND]
    if router.several and used:
        message = f'"several" means nothing for {used[0]}, which does not go by what a request is about'
        draft.tell("ORC221", message, (at, ("several",)), cure="remove the key, or choose another strategy")


def _check_strict(draft: Draft, router: AgentEntry) -> None:
    """Several routes to one agent are several ways there: by one without a condition everybody comes."""
    free = {route if isinstance(route, str) else route.to for route in router.routes if not _has_condition(route)}
    for number, route in enumerate(router.routes):
        if isinstance(route, str) or not route.strict or route.to not in free:
            continue
        place = (draft.address(router), ("routes", number, "strict"))
        message, cure = '"strict" means something only beside a condition', "give the route a when, or remove the key"
        if _has_condition(route):
            message = f'"strict" means nothing where another route to {route.to} has no condition'
            cure = "give that route a when, or remove one of the two"
        draft.tell("ORC221", message, place, cure=cure)


def _has_condition(route: str | Route) -> bool:
    return not isinstance(route, str) and bool(route.when.model_dump(exclude_none=True))


def _is_claimed(draft: Draft, router: AgentEntry) -> bool:
    """Whether a route of it, or any agent, says for how hard requests it is meant."""
    on_routes = (route.complexity for route in router.routes if not isinstance(route, str))
    return any(on_routes) or any(agent.complexity for agent in draft.agents.values())


def _has_encoder(router: AgentEntry) -> bool:
    """A cascade without stages of its own has the stage where it has an encoder."""
    cascade = router.strategy in (None, "cascade")
    return router.strategy == "semantic" or (cascade and (not router.stages or "semantic" in router.stages))


def _check_kinds_of_models(draft: Draft, agent: AgentEntry) -> None:
    for number, alias in enumerate(aliases(agent)):
        model = draft.models.get(alias)
        if model is not None and is_embedder(model):
            at = draft.address(agent)
            many = draft.holds(at, "model", 0)
            keys = ("model", number) if many else ("model",)
            draft.tell("ORC207", f"{alias} gives vectors for texts and cannot answer", (at, keys))
