"""How a runtime runs in a container: its command, its environment, its folders, its user, how its health is asked."""

from __future__ import annotations

from typing import Final

from orchestrator.export.order import Order, Workload

STATE: Final = "/state"
"""``ORCHESTRATOR_HOME``: a volume."""
FILES: Final = "/etc/orchestrator/manifest"
"""Where the carried files are, read-only."""
USER: Final = 10001
"""As in the Containerfile."""
PORT: Final = 7411
LEAF_PORT: Final = 7422
"""Where the hub takes the links of the other nodes."""
STOP_SECONDS: Final = 60
"""What a stop may take: requests in work finish within 30, then model servers end."""
TMP_BYTES: Final = 268_435_456

NODE: Final = "ORCHESTRATOR_NODE"
HUB: Final = "ORCHESTRATOR_HUB"
TOKEN: Final = "ORCHESTRATOR_JOIN_TOKEN"  # noqa: S105 - the name of a variable
INIT: Final = "orchestrator node init"
JOIN: Final = "orchestrator node join"

_RUNTIME: Final = ("python", "-P", "-m", "orchestrator.app.runtime", "--foreground")
_ASK: Final = (
    "import http.client, sys; door = http.client.HTTPConnection('127.0.0.1', {port}, timeout=4); "
    "door.request('GET', '{path}'); sys.exit(door.getresponse().status != 200)"
)


def command_of(order: Order, workload: Workload) -> list[str]:
    """The words of its command: one device applies its manifest as it starts, a node waits for what the fleet wants of it."""
    if workload.node:
        return [*_RUNTIME]
    return ["orchestrator", "apply", "--foreground", *manifest_words(order, FILES)]


def manifest_words(order: Order, folder: str) -> list[str]:
    """What names the manifest on a command line."""
    return [
        *(f"{folder}/{name}" for name in order.manifests),
        *(word for one in order.settings for word in ("--set", one)),
    ]


def environment_of(order: Order, workload: Workload) -> dict[str, str]:
    """What it gets, but for secrets. The state volume is its home too, so that caches of model servers are kept."""
    own = {"HOME": STATE, "ORCHESTRATOR_HOME": STATE, "ORCHESTRATOR_PORT": str(PORT)}
    hub = order.hub
    mesh = {NODE: workload.node, HUB: f"{hub.name}:{LEAF_PORT}"} if hub else {}
    return {**dict(sorted(order.variables.items())), **own, **mesh}


def asked(path: str) -> list[str]:
    """A command that asks the front door, which is on loopback: 0 where the answer is 200. It is asked from within, as nothing
    outside of the container reaches it."""
    return ["python", "-I", "-S", "-c", _ASK.format(port=PORT, path=path)]
