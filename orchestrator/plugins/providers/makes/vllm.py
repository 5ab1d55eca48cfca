"""vLLM. Recognised by ``owned_by: vllm`` in its list of models."""

from __future__ import annotations

from typing import Any, Final

from orchestrator.core.digest import digest_of
from orchestrator.plugins.providers.body import Dialect
from orchestrator.plugins.providers.makes.make import LookAt, Looks, Make, Since, count, declared, objects, text
from orchestrator.ports.provider import Identity, ServedModel


def _recognise(url: str, looks: Looks) -> Identity | None:
    cards = objects(looks["/v1/models"].document.get("data"))
    if not any(card.get("owned_by") == "vllm" for card in cards):
        return None
    return Identity("vllm", url, text(looks["/version"].document.get("version")), f"{url}/v1", MAKE.capabilities)


async def _served(look: LookAt) -> tuple[ServedModel, ...]:
    looks = await look(("/v1/models",))
    looks.need("/v1/models")
    cards = {card["id"]: card for card in objects(looks["/v1/models"].document.get("data")) if text(card.get("id"))}
    return tuple(ServedModel(name, True, _context(card, cards), digest=_digest(card)) for name, card in cards.items())


def _digest(card: dict[str, Any]) -> str:
    """What it was started with, by the last part of its name: a folder may be another one on another machine."""
    root = text(card.get("root")).rstrip("/").rpartition("/")[2]
    return f"root-{digest_of(root)[:16]}" if root else ""


def _context(card: dict[str, Any], cards: dict[str, dict[str, Any]]) -> int | None:
    """The window of a card; that of an adapter is its parent's."""
    return count(card.get("max_model_len")) or count(cards.get(text(card.get("parent")), {}).get("max_model_len"))


MAKE: Final = Make(
    kind="vllm",
    summary="vLLM",
    default_urls=("http://127.0.0.1:8000",),
    looks_at=("/v1/models", "/version"),
    recognise=_recognise,
    served=_served,
    capabilities=declared(
        chat="yes",
        stream="yes",
        stream_usage="yes",
        json_schema="yes",
        grammar="yes",
        logprobs="yes",
        context_told="yes",
        slots_told="no",
        overflow_refused="yes",
        load="no",
        pull="no",
        remove="no",
    ),
    since=(Since("0.11.0", {"grammar": "ignored"}),),  # the field is called structured_outputs since then
    oldest="0.8.0",
    dialect=Dialect(grammar="structured_outputs"),
    chooses=True,
    assumed_slots=32,  # it queues without a word instead of answering 429, so we hold back ourselves
    url_variable="VLLM_URL",
    wants="vllm serve MODEL; for tools also --enable-auto-tool-choice --tool-call-parser NAME",
)
