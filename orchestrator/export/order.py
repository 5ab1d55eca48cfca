"""What is to be exported: a blueprint, the runtimes that serve it, and what is put beside them. Plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrator.core.blueprint import Blueprint


@dataclass(frozen=True, slots=True)
class Node:
    """A machine of the manifest. ``hardware`` as the manifest has it: ``memory`` and ``gpu_memory`` in bytes, ``cpus``."""

    id: str
    agents: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    hardware: Mapping[str, Any] = field(default_factory=dict)
    hub: bool = False


@dataclass(frozen=True, slots=True)
class Workload:
    """One runtime. ``name`` is a DNS label, ``share`` all that it may come to serve; ``node`` is empty where there is no fleet."""

    name: str
    share: Blueprint
    hardware: Mapping[str, Any] = field(default_factory=dict)
    node: str = ""
    hub: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Order:
    """What an export is made of.

    ``name`` is the deployment's as a DNS label. ``files`` are the contents of what is carried along, by path below one folder
    (``/`` between the parts); ``manifests`` those of them that make the manifest, in order. ``absent`` is what the manifest
    reads and that is not carried: the part's address, and the path where a container's runtime looks for it. ``settings`` are
    ``KEY=VALUE`` laid over all, ``variables`` what the manifest took from the environment.
    """

    name: str
    blueprint: Blueprint
    workloads: tuple[Workload, ...]
    files: Mapping[str, bytes]
    manifests: tuple[str, ...]
    absent: tuple[tuple[str, str], ...] = ()
    settings: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    image: str = ""
    namespace: str = ""

    @property
    def hub(self) -> Workload | None:
        """The workload that the others of a fleet reach; ``None`` where there is no fleet."""
        return next((each for each in self.workloads if each.hub), None)
