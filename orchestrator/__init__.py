"""Many small agents as one assistant, on the devices at hand: the public Python API.

>>> import orchestrator
>>> async with orchestrator.open("kiosk.yaml") as deployment:      # in this process  # doctest: +SKIP
...     result = await deployment.run("Where is the claw hammer?")
...     print(result.text, result.agent, result.why)
>>> async with orchestrator.connect("retail-kiosk") as deployment:  # the background runtime  # doctest: +SKIP
...     result = await deployment.run("Where is the claw hammer?")

Nothing is imported before it is used.
"""

from __future__ import annotations

TYPE_CHECKING = False
"""As type checkers know it: the module `typing` takes longer to import than all the rest of this one."""

if TYPE_CHECKING:
    from typing import Any, Final

    from orchestrator.app.api import Opened as Opened
    from orchestrator.app.api import connect as connect
    from orchestrator.app.api import open as open  # noqa: A004 - as `gzip.open`
    from orchestrator.core.errors import DeployError as DeployError
    from orchestrator.core.errors import ManifestError as ManifestError
    from orchestrator.core.errors import OrchestratorError as OrchestratorError
    from orchestrator.core.errors import RunError as RunError
    from orchestrator.core.errors import UsageError as UsageError
    from orchestrator.core.event import Event as Event
    from orchestrator.core.message import Message as Message
    from orchestrator.core.request import Decision as Decision
    from orchestrator.core.request import Request as Request
    from orchestrator.core.request import Result as Result

_WHERE: Final = {
    "Decision": "orchestrator.core.request",
    "DeployError": "orchestrator.core.errors",
    "Event": "orchestrator.core.event",
    "ManifestError": "orchestrator.core.errors",
    "Message": "orchestrator.core.message",
    "Opened": "orchestrator.app.api",
    "OrchestratorError": "orchestrator.core.errors",
    "Request": "orchestrator.core.request",
    "Result": "orchestrator.core.request",
    "RunError": "orchestrator.core.errors",
    "UsageError": "orchestrator.core.errors",
    "connect": "orchestrator.app.api",
    "open": "orchestrator.app.api",
}


def __getattr__(name: str) -> Any:
    where = _WHERE.get(name)
    if where is None:
        raise AttributeError(f"module 'orchestrator' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(where), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_WHERE])
