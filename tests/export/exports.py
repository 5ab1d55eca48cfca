"""Exports of the manifests in ``cases``, for the tests of each engine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from orchestrator.app.compile import compile_files
from orchestrator.app.exporting.gather import Asked, Gathered, gather
from orchestrator.app.exporting.pages import Exported, exported

CASES = Path(__file__).parent / "cases"
SHOP = ("data/*.txt",)
"""What the code of the shop's tool reads."""
IMAGE = "registry.example.org/orchestrator:1"


def gathered(path: Path, environment: Mapping[str, str] | None = None, **asked: Any) -> Gathered:
    """The order of a manifest."""
    return gather(compile_files([str(path)], environment=environment or {}), Asked(**{"image": IMAGE, **asked}))


def case(engine: str, name: str, environment: Mapping[str, str] | None = None, **asked: Any) -> Exported:
    """The export of one of the cases."""
    include = SHOP if name == "shop" else ()
    made = gathered(CASES / f"{name}.yaml", environment, include=include, **asked)
    return exported(engine, made, python="/opt/orchestrator/bin/python")


def export_of(
    engine: str, folder: Path, text: str, environment: Mapping[str, str] | None = None, **asked: Any
) -> Exported:
    """The export of a manifest that a test writes."""
    path = folder / "made.yaml"
    path.write_text(text)
    return exported(engine, gathered(path, environment, **asked), python="/opt/orchestrator/bin/python")


def documents(made: Exported) -> list[dict[str, Any]]:
    """What is printed, read again."""
    return list(yaml.safe_load_all(made.printed))


def of_kind(made: Exported, kind: str) -> dict[str, dict[str, Any]]:
    """Objects of Kubernetes of one kind, by name."""
    return {each["metadata"]["name"]: each for each in documents(made) if each["kind"] == kind}


def pod(made: Exported, name: str) -> dict[str, Any]:
    """The pod of a workload."""
    spec: dict[str, Any] = of_kind(made, "StatefulSet")[name]["spec"]["template"]["spec"]
    return spec


def notes(made: Exported) -> str:
    """All that is told."""
    return "\n".join(made.notes)
