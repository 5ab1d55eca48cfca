"""Loads an operator's Python module from a folder, without mixing it with modules of the same name.

Two deployments may each have a ``tools.py``, and a new revision must get the new one. So what a load imports from its
folder is taken out of ``sys.modules`` again: the functions keep what they use, and the next load starts fresh. An
import *inside* a function of such a module does not find its neighbours later; imports belong at the top.
"""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Final

from orchestrator.core.errors import DeployError

_LOADING: Final = threading.Lock()
_NEVER_OURS: Final = sys.stdlib_module_names | {"orchestrator"}
"""Never shadowed, not even while loading: another thread may import one of these at that moment."""


@contextmanager
def loaded(module: str, roots: Sequence[Path]) -> Iterator[ModuleType]:
    """The module from the first root that has it, importable by name while the block runs. Raises ``DeployError``."""
    root = _root_of(module, roots)
    with _LOADING, _importing_from(root):
        try:
            yield importlib.import_module(module)
        except DeployError:
            raise
        except (Exception, SystemExit) as error:
            raise DeployError(
                f"the module {module} cannot be loaded: {type(error).__name__}: {error}",
                cure=f"mend it; try: python -c 'import {module}' in {root}",
            ) from error


def _root_of(module: str, roots: Sequence[Path]) -> Path:
    parts = module.split(".")
    if not all(part.isidentifier() for part in parts):
        raise DeployError(f"{module!r} is no name of a module", cure="write module:function, such as tools:make_quote")
    if parts[0] in _NEVER_OURS:
        raise DeployError(f"the module {module} has a name of Python's own or of this program", cure="rename its file")
    for root in roots:
        for file in (root.joinpath(*parts).with_suffix(".py"), root.joinpath(*parts, "__init__.py")):
            if file.is_file():
                _check_inside(module, file, roots)
                return root
    searched = ", ".join(str(root) for root in roots)
    raise DeployError(f"there is no module {module} in {searched}", cure="code is loaded from these folders only")


def _check_inside(module: str, file: Path, roots: Sequence[Path]) -> None:
    real = file.resolve()
    if not any(real.is_relative_to(root.resolve()) for root in roots):
        raise DeployError(
            f"the module {module} is a link to {real}, outside every folder that code may be loaded from",
            cure="copy it there, or add its folder to security.tool_roots",
        )


@contextmanager
def _importing_from(root: Path) -> Iterator[None]:
    own = {file.stem if file.suffix == ".py" else file.name for file in root.iterdir()} - _NEVER_OURS
    hidden = {name: module for name, module in sys.modules.items() if name.partition(".")[0] in own}
    for name in hidden:
        del sys.modules[name]
    writes_bytecode, sys.dont_write_bytecode = sys.dont_write_bytecode, True  # the folder is the operator's
    sys.path.insert(0, str(root))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.dont_write_bytecode = writes_bytecode
        sys.path.remove(str(root))
        for name in [name for name in sys.modules if name.partition(".")[0] in own]:
            del sys.modules[name]
        sys.modules.update(hidden)
