"""What is left to do for a deployment that runs under Kubernetes."""

from __future__ import annotations

from orchestrator.export.names import is_label
from orchestrator.export.notes import keyring_notes, of_containers
from orchestrator.export.order import Order, Workload
from orchestrator.export.references import References, in_container
from orchestrator.export.running import A_TOKEN, FILES, PORT, TOKEN, apply_words, init_words, join_words


def notes(order: Order) -> list[str]:
    """What is to be done by hand, and what to know."""
    kubectl = f"kubectl -n {order.namespace}" if order.namespace else "kubectl"
    found = in_container(order.blueprint)
    return [
        *_secrets_to_create(order, found, kubectl),
        *keyring_notes(found, 'write "env:NAME" in the manifest'),
        *(f"give machines the label that {line}" for line in _wanted_labels(order)),
        *_left_out_labels(order),
        *of_containers(order),
        *_cards(order),
        *_first_steps(order, kubectl),
        _front_door(order, kubectl),
    ]


def _secrets_to_create(order: Order, found: References, kubectl: str) -> list[str]:
    create = f"{kubectl} create secret generic {order.name}"
    files = " ".join(f"--from-file={name}=FILE" for name in found.mounted)
    lines = f"create the Secret first, from lines {', '.join(f'{name}=value' for name in found.variables)} in a file of mode 0600"
    return [
        *([f"{lines}: {create}-secrets --from-env-file=FILE"] if found.variables else []),
        *([f"create the Secret of files first: {create}-files {files}"] if found.mounted else []),
    ]


def _wanted_labels(order: Order) -> list[str]:
    return [
        f"{workload.name} asks for: kubectl label node MACHINE {key}={value}"
        for workload in order.workloads
        for key, value in sorted(workload.labels.items())
        if is_label(key, value)
    ]


def _left_out_labels(order: Order) -> list[str]:
    return [
        f'the label "{key}: {value}" of {workload.node} is none that Kubernetes takes, and was left out'
        for workload in order.workloads
        for key, value in sorted(workload.labels.items())
        if not is_label(key, value)
    ]


def _cards(order: Order) -> list[str]:
    names = [each.name for each in order.workloads if each.hardware.get("gpu_memory")]
    return [
        f"{name} wants a graphics card: add its maker's resource to the limits, like nvidia.com/gpu: 1"
        for name in names
    ]


def _first_steps(order: Order, kubectl: str) -> list[str]:
    hub = order.hub
    if hub is None:
        return []
    return [
        f"once, when {hub.name}-0 runs: {kubectl} exec {hub.name}-0 -- {init_words(hub, hub.name)}",
        f"once for each other node, with {A_TOKEN}, as a line {TOKEN}=value in a file of mode 0600; its pod starts with it:",
        *(_joins(each, kubectl) for each in order.workloads if not each.hub),
        f"then, and after each change: {kubectl} exec {hub.name}-0 -- {apply_words(order, FILES)}",
    ]


def _joins(workload: Workload, kubectl: str) -> str:
    name = workload.name
    create = f"{kubectl} create secret generic {name}-join --from-env-file=FILE"
    return f"for {workload.node}: {create}, then {kubectl} exec {name}-0 -- {join_words(workload)}"


def _front_door(order: Order, kubectl: str) -> str:
    forward = f"{kubectl} port-forward {order.workloads[0].name}-0 {PORT}:{PORT}"
    return (
        f"the front door listens on loopback inside of its pod: {forward}, or a container of your own in the same pod"
    )
