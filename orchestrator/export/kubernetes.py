"""A deployment as objects of Kubernetes: a StatefulSet for each runtime, with what it needs and no more."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any, Final

from orchestrator.core.digest import digest_of
from orchestrator.core.errors import UsageError
from orchestrator.core.quantity import format_size
from orchestrator.export.names import is_label
from orchestrator.export.order import Order, Workload
from orchestrator.export.references import FOLDER, in_container
from orchestrator.export.running import (
    FILES,
    HUB_PORTS,
    STATE,
    STOP_SECONDS,
    TMP_BYTES,
    TOKEN,
    USER,
    asked,
    command_of,
    environment_of,
)
from orchestrator.export.sizes import LEAST_CPU, sizes_of, storage_of

Document = dict[str, Any]
MOST_BYTES: Final = 1_000_000
"""Of the files of a ConfigMap; the engine takes 1 MiB with all that is around them."""
_NODE_LABEL: Final = "orchestrator/node"
_FIRST: Final = "hub"


def documents(order: Order) -> list[Document]:
    """The objects, in the order in which they are wanted. Raises ``UsageError`` for what cannot be run there."""
    made = [_config_map(order)]
    for workload in order.workloads:
        made += [_service(order, workload), _stateful_set(order, workload)]
    made += _policies(order)
    return [*made, *_disruption(order)]


# ---- names and labels ---------------------------------------------------------------------------------------------------


def _labels(order: Order, workload: Workload | None = None) -> dict[str, str]:
    own = {_NODE_LABEL: workload.name} if workload else {}
    return {**_ours(order), **own, "app.kubernetes.io/managed-by": "orchestrator-export"}


def _ours(order: Order) -> dict[str, str]:
    """What selects every pod of the deployment."""
    return {"app.kubernetes.io/name": "orchestrator", "app.kubernetes.io/instance": order.name}


def _only(order: Order, workload: Workload) -> dict[str, str]:
    return {**_ours(order), _NODE_LABEL: workload.name}


def _about(order: Order, name: str, workload: Workload | None = None) -> dict[str, Any]:
    namespace = {"namespace": order.namespace} if order.namespace else {}
    return {"name": name, **namespace, "labels": _labels(order, workload)}


# ---- files ----------------------------------------------------------------------------------------------------------------


def _config_map(order: Order) -> Document:
    size = sum(len(content) for content in order.files.values())
    if size > MOST_BYTES:
        raise UsageError(
            f"the manifest's files have {format_size(size)}, and a ConfigMap holds {format_size(MOST_BYTES)}",
            cure="name less with --include, and mount what is large",
        )
    texts: dict[str, str] = {}
    others: dict[str, str] = {}
    for path, key in _keys(order).items():
        try:
            texts[key] = order.files[path].decode()
        except UnicodeDecodeError:
            others[key] = base64.b64encode(order.files[path]).decode()
    binary = {"binaryData": others} if others else {}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": _about(order, _files_name(order)),
        "data": texts,
        **binary,
    }


def _files_name(order: Order) -> str:
    return f"{order.name}-manifest"


def _keys(order: Order) -> dict[str, str]:
    """The key of each path in the ConfigMap: letters of the path, and a few digits where others had to go."""
    return {path: _key(path) for path in sorted(order.files)}


def _key(path: str) -> str:
    plain = re.sub(r"[^A-Za-z0-9._-]", "-", path)
    return (
        plain if plain == path and not plain.startswith("..") else f"{plain[-200:].lstrip('.')}.{digest_of(path)[:6]}"
    )


# ---- a runtime ------------------------------------------------------------------------------------------------------------


def _service(order: Order, workload: Workload) -> Document:
    """Headless: it gives the pod its name. Only the hub has ports that others may ask for; they find it also while it is not
    ready, as they must when all start at once."""
    spec: dict[str, Any] = {"clusterIP": "None", "selector": _only(order, workload)}
    if workload.hub:
        ports = [
            {"name": name, "port": port, "targetPort": name, "protocol": "TCP"} for name, port in HUB_PORTS.items()
        ]
        spec |= {"publishNotReadyAddresses": True, "ports": ports}
    return {"apiVersion": "v1", "kind": "Service", "metadata": _about(order, workload.name, workload), "spec": spec}


def _stateful_set(order: Order, workload: Workload) -> Document:
    """Of one pod, as the state has one owner: no second one begins before the first is known to be gone."""
    state = {
        "metadata": {"name": "state", "labels": _only(order, workload)},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": f"{storage_of(workload.share)}Gi"}},
        },
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": _about(order, workload.name, workload),
        "spec": {
            "replicas": 1,
            "serviceName": workload.name,
            "selector": {"matchLabels": _only(order, workload)},
            "template": {
                "metadata": {"labels": _labels(order, workload), **_made_anew(order, workload)},
                "spec": _pod(order, workload),
            },
            "volumeClaimTemplates": [state],
        },
    }


def _made_anew(order: Order, workload: Workload) -> Document:
    """One device reads its manifest as it starts, so its pod is made anew when the files change. A fleet is told by an apply,
    which updates one node after the other."""
    if workload.node:
        return {}
    return {
        "annotations": {"orchestrator/manifest": digest_of({path: each.hex() for path, each in order.files.items()})}
    }


def _pod(order: Order, workload: Workload) -> Document:
    affinity = _affinity(order, workload)
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": STOP_SECONDS,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            # Else each start opens the folders of the state to the group, and the runtime refuses folders that others may enter.
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        **({"affinity": affinity} if affinity else {}),
        "containers": [_container(order, workload)],
        "volumes": _volumes(order, workload),
    }


def _container(order: Order, workload: Workload) -> Document:
    return {
        "name": "runtime",
        "image": order.image,
        "imagePullPolicy": "IfNotPresent",
        "command": [_unexpanded(word) for word in command_of(order, workload)],
        "env": _environment(order, workload),
        **({"ports": _hub_ports()} if workload.hub else {}),
        "resources": _resources(workload),
        "startupProbe": _probe("/health", every=2, failures=60),
        "livenessProbe": _probe("/health", every=20, failures=3),
        "readinessProbe": _probe("/ready", every=10, failures=2),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "privileged": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": _mounts(workload),
    }


def _hub_ports() -> list[Document]:
    return [{"name": name, "containerPort": port, "protocol": "TCP"} for name, port in HUB_PORTS.items()]


def _probe(path: str, *, every: int, failures: int) -> Document:
    return {
        "exec": {"command": asked(path)},
        "periodSeconds": every,
        "timeoutSeconds": 5,
        "failureThreshold": failures,
    }


def _unexpanded(text: str) -> str:
    """``$(NAME)`` would be a variable of the container."""
    return text.replace("$(", "$$(")


def _environment(order: Order, workload: Workload) -> list[Document]:
    plain = environment_of(order)
    secret = {name: (f"{order.name}-secrets", name) for name in in_container(workload.share).variables}
    if workload.node and not workload.hub:
        secret[TOKEN] = (f"{workload.name}-join", TOKEN)
    return [
        *({"name": name, "value": _unexpanded(value)} for name, value in plain.items() if name not in secret),
        *(
            {"name": name, "valueFrom": {"secretKeyRef": {"name": of, "key": key}}}
            for name, (of, key) in sorted(secret.items())
        ),
    ]


def _resources(workload: Workload) -> Document:
    """Without a request of its own, what is asked for would be the limit."""
    sizes = sizes_of(workload)
    most = {"cpu": sizes.cpus_most, "memory": sizes.memory_most}
    limits = {name: str(size) for name, size in most.items() if size}
    wanted = {"cpu": LEAST_CPU, "memory": str(sizes.memory_wanted)}
    return {"requests": wanted, **({"limits": limits} if limits else {})}


def _mounts(workload: Workload) -> list[Document]:
    secrets = in_container(workload.share).mounted
    return [
        {"name": "state", "mountPath": STATE},
        {"name": "manifest", "mountPath": FILES, "readOnly": True},
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - the container's own
        *([{"name": "secrets", "mountPath": FOLDER.rstrip("/"), "readOnly": True}] if secrets else []),
    ]


def _volumes(order: Order, workload: Workload) -> list[Document]:
    items = [{"key": key, "path": path} for path, key in _keys(order).items()]
    secrets = in_container(workload.share).mounted
    mounted = {
        "name": "secrets",
        "secret": {
            "secretName": f"{order.name}-files",
            "defaultMode": 0o440,
            "items": [{"key": name, "path": name} for name in secrets],
        },
    }
    return [
        {"name": "manifest", "configMap": {"name": _files_name(order), "items": items}},
        {"name": "tmp", "emptyDir": {"sizeLimit": str(TMP_BYTES)}},
        *([mounted] if secrets else []),
    ]


# ---- where it runs, and who reaches it ------------------------------------------------------------------------------------


def _affinity(order: Order, workload: Workload) -> Document:
    """On a machine with the labels of its node; the nodes of a fleet on machines of their own where there are enough."""
    if not workload.node:
        return {}
    wanted = [
        {"key": key, "operator": "In", "values": [value]}
        for key, value in sorted(workload.labels.items())
        if is_label(key, value)
    ]
    chosen = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": wanted}]}}
    apart = {
        "weight": 100,
        "podAffinityTerm": {"labelSelector": {"matchLabels": _ours(order)}, "topologyKey": "kubernetes.io/hostname"},
    }
    return {
        **({"nodeAffinity": chosen} if wanted else {}),
        "podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [apart]},
    }


def _policies(order: Order) -> list[Document]:
    """Nobody reaches a pod; of a fleet, its own pods reach the hub's ports for them."""
    closed = _policy(order, order.name, {"podSelector": {"matchLabels": _ours(order)}, "policyTypes": ["Ingress"]})
    hub = order.hub
    if hub is None:
        return [closed]
    link = {
        "from": [{"podSelector": {"matchLabels": _ours(order)}}],
        "ports": [{"port": port, "protocol": "TCP"} for port in HUB_PORTS.values()],
    }
    opened = {"podSelector": {"matchLabels": _only(order, hub)}, "policyTypes": ["Ingress"], "ingress": [link]}
    return [closed, _policy(order, f"{order.name}-{_FIRST}", opened)]


def _policy(order: Order, name: str, spec: Mapping[str, Any]) -> Document:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": _about(order, name),
        "spec": dict(spec),
    }


def _disruption(order: Order) -> list[Document]:
    """Of a fleet, one pod at a time is moved; one that is broken may be moved at any time."""
    if len(order.workloads) < 2:
        return []
    spec = {
        "maxUnavailable": 1,
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
        "selector": {"matchLabels": _ours(order)},
    }
    return [
        {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": _about(order, order.name), "spec": spec}
    ]
