"""OpenVINO Model Server. Recognised by its name in ``/v2``, or ``owned_by: OVMS`` in ``/v3/models``; its OpenAI protocol hangs
below ``/v3``. Its answers have no ``id``, and no usage in a stream unless it batches continuously."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from orchestrator.plugins.providers.makes.make import LookAt, Looks, Make, Since, declared, objects, text
from orchestrator.ports.provider import Identity, ServedModel

_NAME: Final = "OpenVINO Model Server"


def _recognise(url: str, looks: Looks) -> Identity | None:
    about = looks["/v2"].document
    owned = {card.get("owned_by") for card in objects(looks["/v3/models"].document.get("data"))}
    if about.get("name") != _NAME and "OVMS" not in owned:
        return None
    return Identity("openvino", url, text(about.get("version")), f"{url}/v3", MAKE.capabilities)


async def _served(look: LookAt) -> tuple[ServedModel, ...]:
    """``/v1/config`` tells the state of everything that is configured; before 2025 it is also the only list."""
    looks = await look(("/v3/models", "/v1/config"))
    looks.need("/v3/models", "/v1/config")
    states = looks["/v1/config"].document
    cards = [text(card.get("id")) for card in objects(looks["/v3/models"].document.get("data"))]
    names = [name for name in cards if name] or list(states)
    return tuple(ServedModel(name, _available(states.get(name))) for name in names)


def _available(state: Any) -> bool | None:
    versions = objects(state.get("model_version_status")) if isinstance(state, Mapping) else []
    return any(version.get("state") == "AVAILABLE" for version in versions) if versions else None


MAKE: Final = Make(
    kind="openvino",
    summary="OpenVINO Model Server",
    default_urls=("http://127.0.0.1:8000",),
    looks_at=("/v2", "/v3/models"),
    recognise=_recognise,
    served=_served,
    capabilities=declared(
        chat="yes",
        stream="yes",
        tools="yes",
        tool_choice="yes",
        json_schema="yes",
        logprobs="yes",
        embeddings="yes",
        context_told="no",
        slots_told="no",
    ),
    since=(
        Since("2025.2", {"tools": "no", "tool_named": "no", "tool_required": "no", "tool_none": "no"}),
        Since("2025.3", {"json_schema": "ignored"}),
    ),
    oldest="2025.2",
    assumed_slots=8,  # on a CPU; one on an NPU, which the manifest says by max_concurrent
    url_variable="OVMS_URL",
    wants="ovms --rest_port 8000 --source_model MODEL --model_repository_path DIR --task text_generation",
)
