"""What is left for a person to do or to know, in a sentence each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from orchestrator.core.blueprint import Blueprint
from orchestrator.core.hosts import distance_of_url
from orchestrator.export.order import Order
from orchestrator.export.references import References
from orchestrator.export.running import FILES

_FOLDERS: Final = {"onnx": "ONNX_MODELS", "openvino-genai": "OPENVINO_MODELS"}
"""Providers that are no server, with the variable that names the folder of their models."""


def of_containers(order: Order) -> list[str]:
    """Those of every engine that runs containers."""
    mesh = ['the image must have what a fleet needs beside: the extra "mesh"'] if order.hub else []
    return [*mesh, *_models(order.blueprint), *_files(order), *_code(order.blueprint), *_writing(order.blueprint)]


def keyring_notes(found: References, instead: str) -> list[str]:
    """A keyring is that of a desktop. ``instead`` is where the secret could be."""
    return [f'no desktop\'s keyring is there for "keyring:{name}": {instead}' for name in found.keyring]


def _models(blueprint: Blueprint) -> Iterator[str]:
    models = [each.spec for each in blueprint.of_kind("model") if each.spec["provider"] != "simulated"]
    looked_for = [spec for spec in models if not spec["server"] and not spec["endpoint"]]
    yield from (_in_process(spec) for spec in looked_for if spec["provider"] in _FOLDERS)
    found = ", ".join(
        spec["alias"] for spec in looked_for if spec["provider"] not in _FOLDERS and spec["zone"] != "cloud"
    )
    if found:
        yield (
            f"no model server of this machine is found from inside of a container ({found}): set ORCHESTRATOR_SERVERS to the "
            f"addresses of those that it shall use; without one, agents answer as without a model"
        )
    for spec in models:
        if spec["server"]:
            yield (
                f"the server of {spec['alias']} is started inside of the container: the image must have {spec['server']['kind']}"
            )
        elif spec["endpoint"] and distance_of_url(spec["endpoint"]) == "node":
            yield f"the endpoint of {spec['alias']}, {spec['endpoint']}, is the container itself: name the server's own address"


def _in_process(spec: Mapping[str, Any]) -> str:
    return f"{spec['alias']} is read from a folder: mount it, and set {_FOLDERS[spec['provider']]} to where it is"


def _files(order: Order) -> Iterator[str]:
    for part, path in order.absent:
        way = "mount it there, or build it into the image"
        if path.startswith(f"{FILES}/"):  # below a volume that is read-only, nothing can be mounted
            way = f"write an absolute path in the manifest, like /models/{path.rpartition('/')[2]}, and {way}"
        yield f"{part} reads {path}, which is not carried along: {way}"


def _code(blueprint: Blueprint) -> Iterator[str]:
    tools = ", ".join(each.spec["name"] for each in blueprint.of_kind("tool") if each.spec["kind"] == "python")
    if tools:
        yield f"what the code of {tools} reads beside its modules is carried along only where --include names it"


def _writing(blueprint: Blueprint) -> Iterator[str]:
    for tool in blueprint.of_kind("tool"):
        options = tool.spec["options"]
        if "path" in options and (tool.spec["kind"] == "calendar" or options.get("writable")):
            yield (
                f"{tool.address} writes to a file in {FILES}, which is read-only: leave out its path, and it is kept in the "
                f"state volume"
            )
