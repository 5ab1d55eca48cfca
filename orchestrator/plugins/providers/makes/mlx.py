"""MLX: ``mlx_lm.server``. It names itself nowhere: recognised by Python's plain HTTP server, ``{"status": "ok"}`` in
``/health`` and a list of models without owners. Recorded from mlx-lm 0.32.2.

Whatever a request names as its model is loaded, and fetched from the internet where it is not there; so nothing is asked
of it that it does not list. ``response_format`` and ``tool_choice`` are accepted without effect.
"""

from __future__ import annotations

from typing import Any, Final

from orchestrator.plugins.providers.body import Dialect
from orchestrator.plugins.providers.makes.make import LookAt, Looks, Make, declared, objects, text
from orchestrator.ports.provider import Identity, ServedModel


def _recognise(url: str, looks: Looks) -> Identity | None:
    health, models = looks["/health"], looks["/v1/models"]
    plain = text(models.headers.get("server")).startswith("BaseHTTP/")
    if not plain or health.document != {"status": "ok"} or not _lists(models.document, models.text):
        return None
    return Identity("mlx", url, "", f"{url}/v1", MAKE.capabilities)


def _lists(document: dict[str, Any], said: str) -> bool:
    """Cards without owners, or an empty answer: what it gives where there is no folder of models yet."""
    cards = objects(document.get("data"))
    unowned = document.get("object") == "list" and all("owned_by" not in card for card in cards)
    return unowned or not said.strip()


async def _served(look: LookAt) -> tuple[ServedModel, ...]:
    """What is in its folder of models. Which of them is loaded it does not tell."""
    looks = await look(("/v1/models",))
    looks.need("/v1/models")
    cards = objects(looks["/v1/models"].document.get("data"))
    return tuple(ServedModel(card["id"], None, kind="chat") for card in cards if text(card.get("id")))


MAKE: Final = Make(
    kind="mlx",
    summary="MLX's mlx_lm.server",
    default_urls=("http://127.0.0.1:8080",),
    looks_at=("/health", "/v1/models"),
    recognise=_recognise,
    served=_served,
    capabilities=declared(
        chat="yes",
        stream="yes",
        stream_usage="yes",
        tools="yes",
        tool_choice="ignored",
        json_schema="ignored",
        grammar="ignored",
        logprobs="yes",
        embeddings="no",
        context_told="no",
        slots_told="no",
    ),
    dialect=Dialect(tool_choice="offer"),
    keeps_streams=False,  # it speaks HTTP/1.0
    assumed_slots=8,  # --prompt-concurrency
    only_listed=True,
    url_variable="MLX_URL",
    wants="mlx_lm.server --model MODEL",
)
