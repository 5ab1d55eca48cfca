"""What an export is made of: the compiled manifest, and the files that it reads, from the disk."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from orchestrator.app.compile import Compilation
from orchestrator.app.exporting.modules import modules_of
from orchestrator.app.version import program_version
from orchestrator.core.errors import UsageError
from orchestrator.export.fleet import workloads
from orchestrator.export.names import dns_label, is_dns_label
from orchestrator.export.order import Node, Order
from orchestrator.export.running import FILES
from orchestrator.manifest.layers import SETTINGS_NAME
from orchestrator.manifest.loaded import Loaded
from orchestrator.manifest.prompts import PREFIX
from orchestrator.manifest.source import LARGEST_FILE, STDIN_NAME
from orchestrator.manifest.spec.manifest import DeploymentSpec
from orchestrator.manifest.spec.model import ModelEntry
from orchestrator.manifest.spec.operate import Hardware, NodeEntry
from orchestrator.manifest.spec.tool import KnowledgeEntry, ToolEntry

_FROM_STDIN: Final = "manifest.yaml"
_DOCUMENTS: Final = ("**/*.md", "**/*.txt")
_TABLES: Final = ("*.csv",)


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line says beside the manifest. ``include`` are patterns of files that count from the manifest's folder."""

    image: str = ""
    namespace: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)
    include: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Gathered:
    """The order, the folder of this machine that its files lie below (absolute), and whether the manifest was typed in."""

    order: Order
    root: Path
    typed: bool = False


def gather(compilation: Compilation, asked: Asked) -> Gathered:
    """Everything of an export. Raises ``UsageError`` for what does not fit, and for files that cannot be read."""
    if asked.namespace and not is_dns_label(asked.namespace):
        raise UsageError(f'"{asked.namespace}" is no namespace', cure="use up to 63 of a-z, 0-9 and -")
    if asked.image and (asked.image.split() != [asked.image] or not asked.image.isprintable()):
        raise UsageError(f'"{asked.image}" is no image', cure="write it like registry.example.org/orchestrator:1")
    blueprint, loaded = compilation.blueprint, compilation.loaded
    deployment = compilation.resolved.manifest.deployment
    carrier = _Carrier(loaded)
    manifests = carrier.manifests()
    carrier.carry_all(deployment)
    for pattern in asked.include:
        carrier.include(pattern)
    coordination = deployment.coordination
    moves = coordination is not None and coordination.failover != "none"
    order = Order(
        name=dns_label(blueprint.name),
        blueprint=blueprint,
        workloads=workloads(blueprint, [_node(node) for node in deployment.nodes], moves=moves),
        files=dict(sorted(carrier.files.items())),
        manifests=manifests,
        absent=tuple(carrier.absent),
        settings=tuple(f"{key}={value}" for key, value in asked.settings.items()),
        variables=dict(loaded.variables),
        image=asked.image or f"orchestrator:{program_version()}",
        namespace=asked.namespace,
    )
    return Gathered(order, carrier.root, typed=STDIN_NAME in loaded.roots)


def _node(node: NodeEntry) -> Node:
    agents = tuple(each if isinstance(each, str) else each.name for each in node.agents)
    hardware = node.hardware.model_dump(exclude_none=True) if isinstance(node.hardware, Hardware) else {}
    return Node(node.id, agents, dict(node.labels), hardware, node.hub)


class _Carrier:
    """Files by their path below ``root``: the folder that all texts of the manifest lie below, laid out as they are there, so that
    what is relative stays right."""

    def __init__(self, loaded: Loaded) -> None:
        self._loaded = loaded
        self._folder = Path(os.path.normpath(loaded.folder))
        self._texts = {name: self._place(name) for name in loaded.sources if name != SETTINGS_NAME}
        around = [str(path.parent) for path in self._texts.values()]
        self.root = Path(os.path.commonpath([str(self._folder), *around]))
        self.files: dict[str, bytes] = {}
        self.absent: list[tuple[str, str]] = []

    def _place(self, name: str) -> Path:
        if name == STDIN_NAME:
            return self._folder / _FROM_STDIN
        if name.startswith(PREFIX):
            return self._folder / name.removeprefix(PREFIX).strip()
        return Path(os.path.normpath(Path(name).absolute()))

    def _below(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()

    def manifests(self) -> tuple[str, ...]:
        """The texts as they were compiled; gives those that are named on a command line."""
        for name, path in self._texts.items():
            self.files[self._below(path)] = self._loaded.sources[name].encode()
        return tuple(self._below(self._texts[name]) for name in self._loaded.roots if name in self._texts)

    def carry_all(self, deployment: DeploymentSpec) -> None:
        """What the parts of the manifest read."""
        for tool in deployment.tools:
            if isinstance(tool, ToolEntry):
                self._carry_tool(tool, deployment)
        for each in deployment.knowledge:
            self._carry_documents(each)
        for part, written in _too_large(deployment):
            self._note_absent(part, written)

    def _carry_tool(self, tool: ToolEntry, deployment: DeploymentSpec) -> None:
        part = f"tool.{tool.name}"
        if tool.python:
            roots = [self._folder / root for root in ("", *deployment.security.tool_roots)]
            for file in modules_of(tool.python.partition(":")[0], roots):
                self._carry(part, file)
        if tool.path is not None:
            kind = tool.use or tool.name
            self._carry_path(part, tool.path, _TABLES if kind == "database" else tool.include or _DOCUMENTS)

    def _carry_documents(self, knowledge: KnowledgeEntry) -> None:
        self._carry_path(f"knowledge.{knowledge.name}", knowledge.path, knowledge.include)

    def _carry_path(self, part: str, written: str, patterns: Sequence[str]) -> None:
        """A file, or the files of a folder that fit."""
        path = Path(os.path.normpath(self._folder / written))
        if Path(written).is_absolute() or not path.is_relative_to(self.root):
            self._note_absent(part, written)
        elif path.is_dir():
            for file in sorted({file for pattern in patterns for file in _fitting(path, pattern)}):
                self._carry(part, file)
        elif path.exists():
            self._carry(part, path)

    def _carry(self, part: str, path: Path) -> None:
        if not self._is_within(path):
            self._note_absent(part, str(path))
            return
        self.files[self._below(path)] = _content(path)

    def _is_within(self, path: Path) -> bool:
        """Whether a file lies below the root, also where links lead to it: what they lead to outside was not meant to be copied."""
        return path.is_relative_to(self.root) and path.resolve().is_relative_to(self.root.resolve())

    def _note_absent(self, part: str, written: str) -> None:
        folder = f"{FILES}/{self._below(self._folder)}" if self._folder != self.root else FILES
        self.absent.append((part, os.path.normpath(os.path.join(folder, written))))  # noqa: PTH118 - a path of the container

    def include(self, pattern: str) -> None:
        """More files, by a pattern."""
        if Path(pattern).is_absolute() or ".." in Path(pattern).parts or not pattern:
            raise UsageError(f'--include "{pattern}" leads out of the manifest\'s folder', cure="name files below it")
        found = sorted(_fitting(self._folder, pattern))
        if not found:
            cure = f"it counts from {self._folder}; a hidden file fits only where the pattern has its dot"
            raise UsageError(f'--include "{pattern}" fits no file', cure=cure)
        for file in found:
            if not self._is_within(file):
                raise UsageError(
                    f'--include "{pattern}": {self._below(file)} is a link out of the folder',
                    cure="copy there what is to be carried along, or name files below the folder",
                )
            self._carry("--include", file)


def _fitting(folder: Path, pattern: str) -> set[Path]:
    """The files that fit, as a shell has it: what is hidden, only where the pattern itself has the dot."""
    dotted = [part for part in Path(pattern).parts if part.startswith(".")]

    def is_meant(part: str) -> bool:
        return not part.startswith(".") or any(fnmatchcase(part, named) for named in dotted)

    return {
        file for file in folder.glob(pattern) if file.is_file() and all(map(is_meant, file.relative_to(folder).parts))
    }


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", cure="mend it, and export again") from error
    if len(content) > LARGEST_FILE:
        raise UsageError(f"{path} is larger than {LARGEST_FILE} bytes", cure="mount it in place of carrying it along")
    return content


def _too_large(deployment: DeploymentSpec) -> Iterator[tuple[str, str]]:
    """Models and encoders: files and folders that are mounted."""
    items = [*deployment.models, *(item for node in deployment.nodes for item in node.models)]
    for model in items:
        if not isinstance(model, ModelEntry) or model.server is None:
            continue
        draft = model.server.speculative_model
        if model.server.path is not None:
            yield f"model.{model.alias}", model.server.path
        if draft is not None and (model.provider == "llama-cpp" or draft.startswith((".", "/"))):
            yield f"model.{model.alias}", draft
    for agent in deployment.agents:
        if not isinstance(agent, str) and agent.encoder is not None and "/" in agent.encoder:
            yield f"router.{agent.name}", agent.encoder
