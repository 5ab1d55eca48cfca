"""Objects of Kubernetes: what the API takes, closed as far as it goes, and nothing that is secret."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped] # it has no types
import pytest

from orchestrator.core.errors import UsageError
from tests.export.exports import IMAGE, case, documents, export_of, notes, of_kind, pod

VERSIONS = ("1.27.0", "1.32.0", "1.37.0")
AGENT = "agents: [{name: a, reflex: [{say: hello}]}]"
PLAIN = f"deployment: {{type: single-device, {AGENT}}}\n"
TILL, HUB, CELLAR = "fleet-till", "fleet-back-office", "fleet-cellar"


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", ["shop", "fleet"])
def test_every_object_is_one_of_the_api(name: str, version: str) -> None:
    """By the API's own schemas, in which a field that is not known is a fault."""
    made = documents(case("kubernetes", name, namespace="edge"))
    assert len(made) > 3
    for document in made:
        kubernetes_validate.validate(document, version, strict=True)


def test_the_schemas_refuse_a_field_that_is_not_known() -> None:
    """So that the test above means something."""
    document = documents(case("kubernetes", "fleet"))[-1]
    document["spec"]["maxUnavailabel"] = 1
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(document, VERSIONS[-1], strict=True)


@pytest.mark.parametrize("name", ["shop", "fleet"])
def test_every_reference_between_objects_leads_somewhere(name: str) -> None:
    """Selectors fit pods, mounts have volumes, volumes their map and its keys, sets their service."""
    made = case("kubernetes", name)
    services, maps, sets = (of_kind(made, kind) for kind in ("Service", "ConfigMap", "StatefulSet"))
    for workload, one in sets.items():
        labels = one["spec"]["template"]["metadata"]["labels"]
        for selector in (
            one["spec"]["selector"]["matchLabels"],
            services[one["spec"]["serviceName"]]["spec"]["selector"],
        ):
            assert selector.items() <= labels.items()
            assert (
                sum(
                    selector.items() <= each["spec"]["template"]["metadata"]["labels"].items() for each in sets.values()
                )
                == 1
            )
        spec = pod(made, workload)
        claims = [each["metadata"]["name"] for each in one["spec"]["volumeClaimTemplates"]]
        volumes = {each["name"]: each for each in spec["volumes"]}
        assert {each["name"] for each in spec["containers"][0]["volumeMounts"]} == {*claims, *volumes}
        mounted = volumes["manifest"]["configMap"]
        held = maps[mounted["name"]]
        assert {item["key"] for item in mounted["items"]} == {*held["data"], *held.get("binaryData", {})}


@pytest.mark.parametrize("name", ["shop", "fleet"])
def test_a_pod_may_do_no_more_than_it_must(name: str) -> None:
    """The restricted profile of the Pod Security Standards, a root that is read-only, and no token of the API."""
    made = case("kubernetes", name)
    for workload in of_kind(made, "StatefulSet"):
        spec = pod(made, workload)
        assert not {"hostNetwork", "hostPID", "hostIPC", "hostPath"} & {
            *spec,
            *(key for v in spec["volumes"] for key in v),
        }
        assert spec["automountServiceAccountToken"] is False
        around = spec["securityContext"]
        assert around["runAsNonRoot"] and around["runAsUser"] > 0
        assert around["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["containers"][0]["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "privileged": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


def test_the_state_is_not_opened_to_the_group_at_each_start() -> None:
    """The runtime refuses folders that others may enter."""
    assert pod(case("kubernetes", "fleet"), TILL)["securityContext"]["fsGroupChangePolicy"] == "OnRootMismatch"


def test_a_fleet_is_one_workload_a_node_and_its_hub_is_reached_by_the_others_only() -> None:
    """Nobody else reaches anything."""
    made = case("kubernetes", "fleet")
    assert list(of_kind(made, "StatefulSet")) == [HUB, TILL, CELLAR]
    policies = of_kind(made, "NetworkPolicy")
    closed, opened = policies["fleet"]["spec"], policies["fleet-hub"]["spec"]
    ours = {"app.kubernetes.io/name": "orchestrator", "app.kubernetes.io/instance": "fleet"}
    assert closed == {"podSelector": {"matchLabels": ours}, "policyTypes": ["Ingress"]}
    assert opened["podSelector"]["matchLabels"] == {**ours, "orchestrator/node": HUB}
    assert opened["ingress"] == [
        {
            "from": [{"podSelector": {"matchLabels": ours}}],
            "ports": [{"port": 7422, "protocol": "TCP"}, {"port": 7423, "protocol": "TCP"}],
        }
    ]
    services = of_kind(made, "Service")
    assert [name for name, each in services.items() if "ports" in each["spec"]] == [HUB]
    assert services[HUB]["spec"]["publishNotReadyAddresses"] is True, "all may start at once"
    assert of_kind(made, "PodDisruptionBudget")["fleet"]["spec"]["maxUnavailable"] == 1


def test_a_node_has_of_the_secrets_only_its_own() -> None:
    """What another node's agents need is not there where no agent moves."""
    made = case("kubernetes", "fleet")
    environments = {name: _environment(pod(made, name)) for name in (HUB, TILL, CELLAR)}
    secret = {
        name: {key: one for key, one in each.items() if "valueFrom" in one} for name, each in environments.items()
    }
    assert [*secret[HUB]] == ["LARGE_KEY"] and [*secret[TILL]] == [*secret[CELLAR]] == ["ORCHESTRATOR_JOIN_TOKEN"]
    assert secret[TILL]["ORCHESTRATOR_JOIN_TOKEN"]["valueFrom"] == {
        "secretKeyRef": {"name": "fleet-till-join", "key": "ORCHESTRATOR_JOIN_TOKEN"}
    }


def test_where_agents_may_move_each_node_has_what_all_need(tmp_path: Path) -> None:
    """A node that takes over an agent needs its model's key."""
    text = (Path(__file__).parent / "cases" / "fleet.yaml").read_text().replace("failover: none", "failover: automatic")
    made = export_of("kubernetes", tmp_path, text)
    assert all("LARGE_KEY" in _environment(pod(made, name)) for name in (HUB, TILL, CELLAR))


def test_labels_of_a_node_choose_the_machine_and_memory_and_cores_bound_it() -> None:
    """Less than the whole machine is asked for: something else runs there too."""
    spec = pod(case("kubernetes", "fleet"), TILL)
    [term] = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert term["matchExpressions"] == [{"key": "site", "operator": "In", "values": ["milan-2"]}]
    assert spec["containers"][0]["resources"] == {
        "requests": {"cpu": "100m", "memory": str(256 << 20)},
        "limits": {"cpu": "2", "memory": "4000000000"},
    }
    made = case("kubernetes", "fleet")
    assert "nodeAffinity" not in pod(made, CELLAR)["affinity"]
    assert "limits" not in pod(made, CELLAR)["containers"][0]["resources"]
    assert 'the label "not a label!: x" of back-office is none that Kubernetes takes' in notes(made)


def test_a_share_of_the_memory_is_asked_for_and_the_whole_is_the_limit() -> None:
    """75 % of 8 GB."""
    [name] = of_kind(case("kubernetes", "shop"), "StatefulSet")
    assert pod(case("kubernetes", "shop"), name)["containers"][0]["resources"] == {
        "requests": {"cpu": "100m", "memory": "6000000000"},
        "limits": {"cpu": "4", "memory": "8000000000"},
    }


def test_a_model_that_is_fetched_has_room_on_the_disk_and_in_memory(tmp_path: Path) -> None:
    """Its weights once and a half, and what a runtime keeps."""
    model = "{alias: m, provider: ollama, model: some-model, memory: 3GB, server: {}}"
    text = f"deployment: {{type: single-device, models: [{model}], agents: [{{name: a, model: m, instructions: Help.}}]}}\n"
    made = export_of("kubernetes", tmp_path, text)
    [one] = of_kind(made, "StatefulSet").values()
    assert one["spec"]["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"] == "7Gi"
    assert pod(made, "made")["containers"][0]["resources"]["requests"]["memory"] == str(3_000_000_000 + (256 << 20))


def test_secrets_are_references_and_told() -> None:
    """A variable is a key of one Secret, a file an item of another; no value is anywhere."""
    environment = {"HOOK_SECRET": "do-not-tell-0001", "HOOK_HOST": "hooks.example.org"}
    made = case("kubernetes", "shop", environment)
    name = "corner-shop-90da64"
    spec = pod(made, name)
    reference = {"secretKeyRef": {"name": f"{name}-secrets", "key": "HOOK_SECRET"}}
    assert _environment(spec)["HOOK_SECRET"] == {"name": "HOOK_SECRET", "valueFrom": reference}
    [volume] = [each["secret"] for each in spec["volumes"] if each["name"] == "secrets"]
    assert volume["secretName"] == f"{name}-files" and volume["items"] == [{"key": "large-key", "path": "large-key"}]
    assert "do-not-tell" not in made.printed + notes(made)
    assert f"kubectl create secret generic {name}-secrets --from-env-file=FILE" in notes(made)
    assert f"kubectl create secret generic {name}-files --from-file=large-key=FILE" in notes(made)
    assert _environment(spec)["HOOK_HOST"]["value"] == "hooks.example.org", "what the manifest took is no secret"


@pytest.mark.parametrize("path", ["keys/large.txt", "/etc/keys/large.txt", "/run/secrets/../shadow"])
def test_a_secret_in_a_file_that_no_engine_can_mount_is_refused(path: str, tmp_path: Path) -> None:
    """With what to write instead."""
    model = f'{{alias: m, provider: openai, model: g, endpoint: "https://api.example.org/v1", api_key: "file:{path}"}}'
    text = f"deployment: {{type: single-device, models: [{model}], agents: [{{name: a, model: m, instructions: Help.}}]}}\n"
    with pytest.raises(UsageError, match="is a file of this machine") as told:
        export_of("kubernetes", tmp_path, text)
    assert 'write "file:/run/secrets/' in told.value.cure


def test_files_of_any_content_come_back_as_they_were(tmp_path: Path) -> None:
    """Also those that are no text, and whose names no key can have."""
    (tmp_path / "docs").mkdir()
    contents = {"docs/a b.md": b"one\r\n", "docs/c.md": b"\xff\xfe\x00", "docs/ü.md": "ü \n".encode()}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    text = f"deployment: {{type: single-device, {AGENT}, knowledge: [{{name: k, path: docs}}]}}\n"
    made = export_of("kubernetes", tmp_path, text)
    [held] = of_kind(made, "ConfigMap").values()
    read = {key: text.encode() for key, text in held["data"].items()}
    read |= {key: base64.b64decode(text) for key, text in held["binaryData"].items()}
    items = next(each for each in pod(made, "made")["volumes"] if each["name"] == "manifest")["configMap"]["items"]
    assert {item["path"]: read[item["key"]] for item in items} == {**contents, "made.yaml": text.encode()}


def test_more_than_a_config_map_holds_is_refused(tmp_path: Path) -> None:
    """Before anything is written."""
    (tmp_path / "large.md").write_bytes(b"x" * 1_000_001)
    with pytest.raises(UsageError, match=r"the manifest's files have 1.0 MB, and a ConfigMap holds 1.0 MB"):
        export_of("kubernetes", tmp_path, PLAIN, include=["*.md"])


def test_what_looks_like_a_variable_of_the_engine_is_none(tmp_path: Path) -> None:
    """``$(NAME)`` in a value and in a command stays what it is."""
    text = (
        'metadata: {name: made}\ndeployment: {type: single-device, agents: [{name: a, instructions: "${GREETING}"}]}\n'
    )
    made = export_of("kubernetes", tmp_path, text, {"GREETING": "say $(HOME)"}, settings={"metadata.name": "made"})
    assert _environment(pod(made, "made"))["GREETING"]["value"] == "say $$(HOME)"
    assert pod(made, "made")["containers"][0]["command"][-2:] == ["--set", "metadata.name=made"]


def test_a_namespace_is_on_everything_and_must_be_one(tmp_path: Path) -> None:
    """And no object without one where none is named."""
    assert {each["metadata"]["namespace"] for each in documents(case("kubernetes", "fleet", namespace="edge"))} == {
        "edge"
    }
    assert all("namespace" not in each["metadata"] for each in documents(case("kubernetes", "fleet")))
    assert "kubectl -n edge exec" in notes(case("kubernetes", "fleet", namespace="edge"))
    with pytest.raises(UsageError, match='"Edge_1" is no namespace'):
        export_of("kubernetes", tmp_path, PLAIN, namespace="Edge_1")


def test_the_image_is_the_one_that_is_named() -> None:
    """Without one, that of the Containerfile in the program's own version."""
    assert pod(case("kubernetes", "fleet"), TILL)["containers"][0]["image"] == IMAGE
    assert pod(case("kubernetes", "fleet", image=""), TILL)["containers"][0]["image"].startswith("orchestrator:")


def _environment(spec: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in spec["containers"][0]["env"]}


def test_what_is_typed_names_each_node_and_the_hub_by_its_service() -> None:
    """The certificate of the hub is for the name by which the others reach it."""
    told = notes(case("kubernetes", "fleet", namespace="edge"))
    kubectl = "kubectl -n edge exec"
    assert f"{kubectl} {HUB}-0 -- orchestrator node init --name back-office --address {HUB}\n" in told
    assert f"{kubectl} {TILL}-0 -- orchestrator node join --name till\n" in told
    assert f"{kubectl} {HUB}-0 -- orchestrator apply /etc/orchestrator/manifest/fleet.yaml\n" in told
    assert HUB in of_kind(case("kubernetes", "fleet"), "Service")
