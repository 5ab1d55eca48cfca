"""How a runtime runs in a container: its command, its environment, its folders, its user, how its health is asked."""

from __future__ import annotations

import shlex
from typing import Final

from orchestrator.export.order import Order, Workload

STATE: Final = "/state"
"""``ORCHESTRATOR_HOME``: a volume."""
FILES: Final = "/etc/orchestrator/manifest"
"""Where the carried files are, read-only."""
USER: Final = 10001
"""As in the Containerfile."""
PORT: Final = 7411
HUB_PORTS: Final = {"leaf": 7422, "enrol": 7423}
"""Where the hub takes the links of the other nodes, and where it is asked by one that joins."""
STOP_SECONDS: Final = 60
"""What a stop may take: requests in work finish within 30, then model servers end."""
TMP_BYTES: Final = 268_435_456

TOKEN: Final = "ORCHESTRATOR_JOIN_TOKEN"  # noqa: S105 - the name of a variable
A_TOKEN: Final = "a token of the hub, where `node init` printed the first and `node invite` prints each other"  # noqa: S105 - words

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


def apply_words(order: Order, folder: str) -> str:
    """The command that tells a fleet its manifest, for a shell."""
    return shlex.join(["orchestrator", "apply", *manifest_words(order, folder)])


def environment_of(order: Order) -> dict[str, str]:
    """What it gets, but for secrets. The state volume is its home too, so that caches of model servers are kept."""
    own = {"HOME": STATE, "ORCHESTRATOR_HOME": STATE, "ORCHESTRATOR_PORT": str(PORT)}
    return {**dict(sorted(order.variables.items())), **own}


def init_words(hub: Workload, address: str) -> str:
    """The command that makes a runtime the first node of a fleet; ``address`` is where the others reach it."""
    return f"orchestrator node init --name {hub.node} --address {address}"


def join_words(workload: Workload) -> str:
    """The command that makes a runtime a node; it takes the token from the environment."""
    return f"orchestrator node join --name {workload.node}"


def asked(path: str) -> list[str]:
    """A command that asks the front door, which is on loopback: 0 where the answer is 200. It is asked from within, as nothing
    outside of the container reaches it."""
    return ["python", "-I", "-S", "-c", _ASK.format(port=PORT, path=path)]
