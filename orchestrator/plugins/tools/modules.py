"""Loads an operator's Python module from a folder, without mixing it with modules of the same name.

Two deployments may each have a ``tools.py``, and a new revision must get the new one. So what a load imports from its
folder is taken out of ``sys.modules`` again: the functions keep what they use, and the next load starts fresh. An
import *inside* a function of such a module does not find its neighbours later; imports belong at the top.
"""

from __future__ import annotations

import importlib
import shlex
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Final

from orchestrator.core.errors import DeployError
from orchestrator.ports.code import NEVER_OURS, ModuleFile, ModuleRefused, Stamp, find_module, stamps_of

_LOADING: Final = threading.Lock()


@dataclass(frozen=True, slots=True)
class Load:
    """A module, and the files of the folder that were read for it, its own among them."""

    module: ModuleType
    files: Mapping[str, Stamp]


@contextmanager
def loaded(module: str, roots: Sequence[Path]) -> Iterator[Load]:
    """The module from the first root that has it, importable by name while the block runs. Raises ``DeployError``."""
    root = _root_of(module, roots)
    with _LOADING, _importing_from(root) as own:
        try:
            found = importlib.import_module(module)
            yield Load(found, stamps_of(_files_of(own)))
        except DeployError:
            raise
        except BaseException as error:  # code of the operator's: whatever it raises, it cannot be loaded
            raise DeployError(
                f"the module {module} cannot be loaded: {type(error).__name__}: {error}",
                cure=f"mend it; try: {shlex.quote(sys.executable)} -c 'import {module}' in {root}",
            ) from error


def _root_of(module: str, roots: Sequence[Path]) -> Path:
    found = find_module(module, roots)
    if isinstance(found, ModuleFile):
        return found.root
    raise _refused(module, found, roots)


def _refused(module: str, found: ModuleRefused, roots: Sequence[Path]) -> DeployError:
    searched = ", ".join(str(root) for root in roots)
    link = f"the module {module} is a link to {found.real}, outside every folder that code may be loaded from"
    texts = {
        "malformed": (f"{module!r} is no name of a module", "write module:function, such as tools:make_quote"),
        "missing": (f"there is no module {module} in {searched}", "code is loaded from these folders only"),
        "reserved": (f"the module {module} has a name of Python's own or of this program", "rename its file"),
        "outside": (link, "copy it there, or add its folder to security.tool_roots"),
    }
    message, cure = texts[found.why]
    return DeployError(message, cure=cure)


def _files_of(own: frozenset[str]) -> set[str]:
    """Of the modules that are imported now. One without a file is a folder of modules."""
    modules = [module for name, module in sys.modules.items() if name.partition(".")[0] in own]
    return {str(file) for module in modules if (file := getattr(module, "__file__", None))}


@contextmanager
def _importing_from(root: Path) -> Iterator[frozenset[str]]:
    """Gives the names that the folder's modules and packages begin with."""
    own = frozenset(file.stem if file.suffix == ".py" else file.name for file in root.iterdir()) - NEVER_OURS
    hidden = {name: module for name, module in sys.modules.items() if name.partition(".")[0] in own}
    for name in hidden:
        del sys.modules[name]
    writes_bytecode, sys.dont_write_bytecode = sys.dont_write_bytecode, True  # the folder is the operator's
    sys.path.insert(0, str(root))
    importlib.invalidate_caches()
    try:
        yield own
    finally:
        sys.dont_write_bytecode = writes_bytecode
        sys.path.remove(str(root))
        for name in [name for name in sys.modules if name.partition(".")[0] in own]:
            del sys.modules[name]
        sys.modules.update(hidden)
