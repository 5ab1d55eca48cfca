"""A deployment as a Compose file: a service for each runtime, with what it needs and no more."""

from __future__ import annotations

from typing import Any, Final

from orchestrator.export.notes import keyring_notes, of_containers
from orchestrator.export.order import Order, Workload
from orchestrator.export.references import FOLDER, in_container
from orchestrator.export.running import (
    A_TOKEN,
    FILES,
    HUB_PORTS,
    STATE,
    STOP_SECONDS,
    TMP_BYTES,
    TOKEN,
    USER,
    apply_words,
    asked,
    command_of,
    environment_of,
    init_words,
    join_words,
)
from orchestrator.export.sizes import sizes_of

Document = dict[str, Any]
MANIFEST: Final = "manifest"
"""The folder beside the file that holds what is carried along. Configs that stand in the file itself cannot be put into a
container whose root is read-only."""
SECRETS: Final = "secrets"
SERVERS: Final = "ORCHESTRATOR_SERVERS"


def document(order: Order) -> Document:
    """The file. Raises ``UsageError`` for what cannot be run there."""
    services = {workload.name: _service(order, workload) for workload in order.workloads}
    mounted = in_container(order.blueprint).mounted
    secrets = {name: {"file": f"./{SECRETS}/{name}"} for name in mounted}
    return {
        "name": order.name,
        "services": services,
        "volumes": {_volume(workload): {} for workload in order.workloads},
        **({"secrets": secrets} if secrets else {}),
    }


def env_files(order: Order) -> dict[str, str]:
    """The files for secrets beside it, by name: which variables belong there, none with a value."""
    return {f"{each.name}.env": _env_text(wanted) for each in order.workloads if (wanted := _variables(each))}


def notes(order: Order) -> list[str]:
    """What is to be done by hand, and what to know."""
    found = in_container(order.blueprint)
    return [
        *(
            f"write {', '.join(wanted)} into {each.name}.env, which stays of mode 0600"
            for each in order.workloads
            if (wanted := [name for name in _variables(each) if name != TOKEN])
        ),
        *(
            f"put the secret into ./{SECRETS}/{name}, readable to the user {USER}: chown {USER} and chmod 400"
            for name in found.mounted
        ),
        *keyring_notes(found, 'write "env:NAME" in the manifest'),
        *of_containers(order),
        *_cards(order),
        *_first_steps(order),
        _front_door(order),
    ]


def _service(order: Order, workload: Workload) -> Document:
    limits = _limits(workload)
    hub = order.hub
    return {
        "image": order.image,
        "entrypoint": [_unexpanded(word) for word in command_of(order, workload)],
        "user": f"{USER}:{USER}",
        "init": True,
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "restart": "unless-stopped",
        "stop_grace_period": f"{STOP_SECONDS}s",
        "environment": _environment(order, workload),
        **({"env_file": [{"path": f"./{workload.name}.env", "required": True}]} if _variables(workload) else {}),
        **_mounted(workload),
        "volumes": [
            {"type": "volume", "source": _volume(workload), "target": STATE},
            {
                "type": "bind",
                "source": f"./{MANIFEST}",
                "target": FILES,
                "read_only": True,
                "bind": {"create_host_path": False},
            },
            {"type": "tmpfs", "target": "/tmp", "tmpfs": {"size": TMP_BYTES, "mode": 0o1777}},  # noqa: S108 - its own
        ],
        **({"extra_hosts": ["host.docker.internal:host-gateway"]} if _looks_for_servers(workload) else {}),
        **({"expose": [str(port) for port in HUB_PORTS.values()]} if workload.hub else {}),
        **({"depends_on": {hub.name: {"condition": "service_started"}}} if hub and not workload.hub else {}),
        **({"deploy": {"resources": limits}} if limits else {}),
        "healthcheck": {
            "test": ["CMD", *(_unexpanded(word) for word in asked("/ready"))],
            "interval": "15s",
            "timeout": "5s",
            "retries": 3,
            "start_period": "60s",
            "start_interval": "2s",
        },
    }


def _looks_for_servers(workload: Workload) -> bool:
    """Whether model servers of the machine itself may serve it: by this name they can be told where they are."""
    return any(not each.spec["server"] for each in workload.share.of_kind("model"))


def _volume(workload: Workload) -> str:
    return f"{workload.name}-state"


def _unexpanded(text: str) -> str:
    """``$NAME`` would be a variable of whoever starts it."""
    return text.replace("$", "$$")


def _environment(order: Order, workload: Workload) -> dict[str, str | None]:
    """``None``: as whoever starts it has it, else not set."""
    secret = _variables(workload)
    own = {name: _unexpanded(value) for name, value in environment_of(order).items() if name not in secret}
    return {**own, SERVERS: None}


def _variables(workload: Workload) -> list[str]:
    """Names of the secrets that are variables."""
    token = [TOKEN] if workload.node and not workload.hub else []
    return [*token, *in_container(workload.share).variables]


def _mounted(workload: Workload) -> Document:
    mounted = in_container(workload.share).mounted
    return {"secrets": [{"source": name, "target": f"{FOLDER}{name}"} for name in mounted]} if mounted else {}


def _limits(workload: Workload) -> Document:
    sizes = sizes_of(workload)
    most: Document = {"cpus": str(sizes.cpus_most)} if sizes.cpus_most else {}
    most |= {"memory": f"{sizes.memory_most}b"} if sizes.memory_most else {}
    return {"limits": most, "reservations": {"memory": f"{sizes.memory_wanted}b"}} if most else {}


def _env_text(names: list[str]) -> str:
    about = [
        "# Secrets of this service, one a line; take the # away where you write a value, and put one that holds a $ into single",
        "# quotes. Written once by `orchestrator export`, which leaves it alone from then on.",
    ]
    return "\n".join([*about, *(f"#{name}=" for name in names), ""])


def _cards(order: Order) -> list[str]:
    names = [each.name for each in order.workloads if each.hardware.get("gpu_memory")]
    return [f"{name} wants a graphics card: add deploy.resources.reservations.devices of its maker" for name in names]


def _first_steps(order: Order) -> list[str]:
    hub = order.hub
    if hub is None:
        return []
    start = f"docker compose up -d {hub.name}, then docker compose exec {hub.name}"
    return [
        f"once: {start} {init_words(hub, hub.name)}",
        f"once on each other node, with {A_TOKEN}, as {TOKEN} in its .env of mode 0600:",
        *(_joins(each) for each in order.workloads if not each.hub),
        f"then, and after each change: docker compose exec {hub.name} {apply_words(order, FILES)}",
    ]


def _joins(workload: Workload) -> str:
    name = workload.name
    return f"for {workload.node}: docker compose up -d {name}, then docker compose exec {name} {join_words(workload)}"


def _front_door(order: Order) -> str:
    first = order.workloads[0].name
    inside = f'docker compose exec {first} orchestrator run {order.blueprint.name} "…"'
    beside = f'a service of your own with network_mode: "service:{first}"'
    return f"the front door listens on loopback inside of its container: {inside}, or {beside}"
