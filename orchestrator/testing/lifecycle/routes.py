"""By face: what each path about models does. Faces that are not here do nothing of the kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from orchestrator.testing.lifecycle import foundry_local, lemonade, llama_router, lm_studio, ollama
from orchestrator.testing.lifecycle.acts import Asked, Route

ROUTES: Final[Mapping[str, Mapping[tuple[str, str], Route]]] = {
    "ollama": ollama.ROUTES,
    "llama-cpp-router": llama_router.ROUTES,
    "lm-studio": lm_studio.ROUTES,
    "lemonade": lemonade.ROUTES,
    "foundry-local": foundry_local.NEW,
    "foundry-local-v1": foundry_local.OLD,
}


def route_of(face: str, asked: Asked) -> Route | None:
    """What answers it, if this make has such a path; a path that ends in ``/`` takes what follows it."""
    for (method, path), route in ROUTES.get(face, {}).items():
        fits = asked.path.startswith(path) if path.endswith("/") else asked.path == path
        if method == asked.method and fits:
            return route
    return None
