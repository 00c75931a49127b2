"""The example of docs/operations.md for an installation with TLS and a password: it fits the manifests and itself."""

from __future__ import annotations

import ipaddress
import re
import shlex
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import trustme
import yaml

from consumer.settings import Settings
from contract.settings import load

ROOT = Path(__file__).parents[2]
BASE = ROOT / "deploy/kubernetes"
OPERATIONS = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
SECURITY = (ROOT / "docs/security.md").read_text(encoding="utf-8")
MOUNT = "/etc/digits"
KEDAS_NAMES_OF_MECHANISMS = {"SCRAM-SHA-512": "scram_sha512", "SCRAM-SHA-256": "scram_sha256", "PLAIN": "plaintext"}


def example(name: str) -> Any:
    (block,) = re.findall(rf"^```yaml\n# {re.escape(name)}\n(.*?)^```", OPERATIONS, re.MULTILINE | re.DOTALL)
    return yaml.safe_load(block)


def patches_of_the_collector() -> list[dict[str, Any]]:
    (block,) = re.findall(r"^```yaml\n(  - target.*?)^```", OPERATIONS, re.MULTILINE | re.DOTALL)
    patches: list[dict[str, Any]] = yaml.safe_load(block)
    return patches


def commands() -> list[list[str]]:
    blocks = re.findall(r"^```sh\n(.*?)^```", OPERATIONS, re.MULTILINE | re.DOTALL)
    return [shlex.split(line) for block in blocks for line in block.splitlines() if line.startswith("kubectl create")]


def merge(target: dict[str, Any], patch: dict[str, Any]) -> None:
    for name, value in patch.items():
        if isinstance(value, dict) and isinstance(target.get(name), dict):
            merge(target[name], value)
        else:
            target[name] = value


def operate(target: Any, op: str, path: str, value: Any) -> None:
    """Do what one operation of a JSON patch (RFC 6902) says; what is to be replaced must be there."""
    *parents, last = path.removeprefix("/").split("/")
    for part in parents:
        target = target[int(part) if isinstance(target, list) else part]
    if isinstance(target, list):
        if op == "add":
            target.insert(len(target) if last == "-" else int(last), value)
        else:
            target[int(last)] = value
    else:
        assert op == "add" or last in target, f"{path} is not there to be replaced"
        target[last] = value


def installed(*more: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Give the manifests, by kind, as the example's patches leave them; each patch must find what it is for."""
    manifests = {
        read["kind"]: read
        for path in BASE.glob("*.yaml")
        if (read := yaml.safe_load(path.read_text(encoding="utf-8")))["kind"] != "Kustomization"
    }
    for each in (*example("kustomization.yaml")["patches"], *more):
        patch = yaml.safe_load(each["patch"])
        wanted = each.get("target") or {"kind": patch["kind"], "name": patch["metadata"]["name"]}
        found = [read for kind, read in manifests.items() if re.fullmatch(wanted["kind"], kind)]
        assert len(found) == wanted["kind"].count("|") + 1
        for target in found:
            assert target["metadata"]["name"] == wanted.get("name", "digitstream")
            if isinstance(patch, dict):
                merge(target, patch)
            else:
                for operation in patch:
                    operate(target, **operation)
    return manifests


def brokers(manifests: dict[str, dict[str, Any]]) -> tuple[str, int]:
    host, _, port = manifests["ConfigMap"]["data"]["DIGITS_KAFKA__BOOTSTRAP_SERVERS"].rpartition(":")
    return host, int(port)


def test_it_stands_on_the_manifests_and_on_the_file_beside_it() -> None:
    kustomization = example("kustomization.yaml")
    assert kustomization["resources"] == ["path/to/deploy/kubernetes", "triggerauthentication.yaml"]
    base = yaml.safe_load((BASE / "kustomization.yaml").read_text(encoding="utf-8"))
    assert [image["name"] for image in kustomization["images"]] == [image["name"] for image in base["images"]]


@pytest.mark.parametrize("kind", ["ConfigMap", "NetworkPolicy"])
def test_what_it_changes_is_still_valid(kind: str) -> None:
    version = kubernetes_validate.latest_version()
    kubernetes_validate.validate(installed(*patches_of_the_collector())[kind], version, strict=True)


def test_its_settings_are_read_and_its_secrets_lie_where_the_settings_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trustme.CA().cert_pem.write_to_path(tmp_path / "ca.pem")
    (tmp_path / "password").write_text("open sesame")
    for name, value in installed()["ConfigMap"]["data"].items():
        monkeypatch.setenv(name, value.replace(MOUNT, str(tmp_path)))
    kafka = load(Settings, owns_prefix=True).kafka
    assert kafka.is_encrypted
    assert kafka.has_user
    pod = installed()["Deployment"]["spec"]["template"]["spec"]
    (volume,) = [each for each in pod["volumes"] if "secret" in each]
    (container,) = pod["containers"]
    assert {"name": volume["name"], "mountPath": MOUNT, "readOnly": True} in container["volumeMounts"]
    held = made_by_the_commands()[volume["secret"]["secretName"]]
    assert {path.name for path in (kafka.sasl_password_file, kafka.ssl_ca_file) if path} == held


def made_by_the_commands() -> dict[str, set[str]]:
    """Give the keys of each secret that the commands create, all in the namespace of the example."""
    namespace = example("kustomization.yaml")["namespace"]
    assert ["kubectl", "create", "namespace", namespace] in commands()
    secrets = {}
    for command in commands():
        if command[2:4] == ["secret", "generic"]:
            assert command[command.index("--namespace") + 1] == namespace, command
            given = [word.partition("=")[2] for word in command if word.startswith("--from-")]
            secrets[command[4]] = {each.partition("=")[0] for each in given}
    return secrets


def test_keda_asks_the_same_brokers_for_the_same_lag_in_the_same_way_with_a_user_of_its_own() -> None:
    manifests = installed()
    data = manifests["ConfigMap"]["data"]
    (trigger,) = manifests["ScaledObject"]["spec"]["triggers"]
    asked = trigger["metadata"]
    assert asked["bootstrapServers"] == data["DIGITS_KAFKA__BOOTSTRAP_SERVERS"]
    assert asked["consumerGroup"] == data["DIGITS_KAFKA__GROUP_ID"]
    assert asked["topic"] == data["DIGITS_TOPICS__REQUESTS"]
    assert (asked["tls"] == "enable") is data["DIGITS_KAFKA__SECURITY_PROTOCOL"].endswith("SSL")
    assert asked["sasl"] == KEDAS_NAMES_OF_MECHANISMS[data["DIGITS_KAFKA__SASL_MECHANISM"]]
    assert all(isinstance(value, str) for value in asked.values()), "KEDA takes nothing else"

    authentication = example("triggerauthentication.yaml")
    assert trigger["authenticationRef"] == {"name": authentication["metadata"]["name"]}
    references = authentication["spec"]["secretTargetRef"]
    assert {each["parameter"] for each in references} == {"username", "password", "ca"}
    secrets = made_by_the_commands()
    assert all(each["key"] in secrets[each["name"]] for each in references)
    (user,) = [word for command in commands() for word in command if word.startswith("--from-literal=username=")]
    assert f"--allow-principal User:{user.rpartition('=')[2]} --operation Describe" in SECURITY


def test_the_network_policy_lets_out_names_the_brokers_and_the_collector_and_nothing_else() -> None:
    manifests = installed(*patches_of_the_collector())
    names, kafka, collector = manifests["NetworkPolicy"]["spec"]["egress"]
    assert {each["port"] for each in names["ports"]} == {53}
    ((peer,), (port,)) = (kafka["to"], kafka["ports"])
    host, number = brokers(manifests)
    assert port == {"port": number}
    # No selector matches what is outside the cluster, and this is.
    assert not host.endswith((".svc", ".local"))
    assert ipaddress.ip_network(peer["ipBlock"]["cidr"]).num_addresses > 1
    endpoint = re.search(r"OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:(\d+)", OPERATIONS)
    assert endpoint
    assert collector["ports"] == [{"port": int(endpoint[1])}]


def test_the_operators_objects_get_the_label_and_keep_their_names() -> None:
    for kind in ("ServiceMonitor", "PrometheusRule"):
        assert installed()[kind]["metadata"] == {
            "name": "digitstream",
            "labels": {"release": "kube-prometheus-stack"},
        }
