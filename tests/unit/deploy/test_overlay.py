"""The example of an installation with TLS and a password, as kustomize renders it: it fits the docs and itself."""

from __future__ import annotations

import ipaddress
import re
import shlex
import shutil
from pathlib import Path

import kubernetes_validate
import pytest
import trustme
import yaml

from consumer.settings import Settings
from tests.harness.kubernetes_tools import Manifests, kustomize, renders_kustomize
from transport.settings.kafka import load

pytestmark = renders_kustomize

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "deploy/kubernetes"
BASE = FOLDER / "base"
EXAMPLE = FOLDER / "overlays/example"
OF_KUBERNETES = {"ConfigMap", "Deployment", "NetworkPolicy", "PodDisruptionBudget", "Service", "ServiceAccount"}
OPERATIONS = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
SECURITY = (ROOT / "docs/security.md").read_text(encoding="utf-8")
MOUNT = "/etc/digits"
KEDAS_NAMES_OF_MECHANISMS = {"SCRAM-SHA-512": "scram_sha512", "SCRAM-SHA-256": "scram_sha256", "PLAIN": "plaintext"}


def patch_of_the_collector() -> str:
    (block,) = re.findall(r"^```yaml\n(  - target.*?)^```", OPERATIONS, re.MULTILINE | re.DOTALL)
    return str(block)


def commands() -> list[list[str]]:
    blocks = re.findall(r"^```sh\n(.*?)^```", OPERATIONS, re.MULTILINE | re.DOTALL)
    return [shlex.split(line) for block in blocks for line in block.splitlines() if line.startswith("kubectl create")]


@pytest.fixture(scope="module")
def installed() -> Manifests:
    """Give what the example installs, by kind."""
    return kustomize(EXAMPLE)


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Manifests:
    """Give what it installs with the patch that lets traces out."""
    deploy = tmp_path_factory.mktemp("installation") / "kubernetes"
    shutil.copytree(FOLDER, deploy)
    kustomization = deploy / EXAMPLE.relative_to(FOLDER) / "kustomization.yaml"
    kustomization.write_text(kustomization.read_text(encoding="utf-8") + patch_of_the_collector(), encoding="utf-8")
    return kustomize(kustomization.parent)


def brokers(manifests: Manifests) -> tuple[str, int]:
    host, _, port = manifests["ConfigMap"]["data"]["DIGITS_KAFKA__BOOTSTRAP_SERVERS"].rpartition(":")
    return host, int(port)


def test_the_base_alone_holds_no_object_of_an_operator() -> None:
    assert kustomize(BASE).keys() == OF_KUBERNETES


def test_the_example_adds_the_components_to_the_base(installed: Manifests) -> None:
    assert installed.keys() == {
        *OF_KUBERNETES,
        "PrometheusRule",
        "ScaledObject",
        "ServiceMonitor",
        "TriggerAuthentication",
    }
    assert "replicas" not in installed["Deployment"]["spec"], "KEDA decides"
    (container,) = installed["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert container["image"].startswith("registry.example/digitstream:")


@pytest.mark.parametrize("kind", sorted(OF_KUBERNETES))
def test_what_the_example_makes_of_the_base_is_still_valid(kind: str, traced: Manifests) -> None:
    kubernetes_validate.validate(traced[kind], kubernetes_validate.latest_version(), strict=True)


def test_every_documented_kustomize_folder_can_be_built() -> None:
    named = {
        word
        for page in (OPERATIONS, *(path.read_text(encoding="utf-8") for path in FOLDER.rglob("kustomization.yaml")))
        for word in re.findall(r"kubectl (?:apply|diff|kustomize)(?: --kustomize| -k)? (deploy/[\w./-]+)", page)
    }
    assert named == {f"deploy/kubernetes/{folder}" for folder in ("base", "gateway", "overlays/example")}
    assert all(kustomize(ROOT / name) for name in named)


def test_the_settings_are_valid_and_the_secrets_are_mounted_at_their_paths(
    installed: Manifests, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trustme.CA().cert_pem.write_to_path(tmp_path / "ca.pem")
    (tmp_path / "password").write_text("open sesame")
    for name, value in installed["ConfigMap"]["data"].items():
        monkeypatch.setenv(name, value.replace(MOUNT, str(tmp_path)))
    kafka = load(Settings, owns_prefix=True).kafka
    assert kafka.is_encrypted
    assert kafka.has_user
    pod = installed["Deployment"]["spec"]["template"]["spec"]
    (volume,) = [each for each in pod["volumes"] if "secret" in each]
    (container,) = pod["containers"]
    assert {"name": volume["name"], "mountPath": MOUNT, "readOnly": True} in container["volumeMounts"]
    held = made_by_the_commands()[volume["secret"]["secretName"]]
    assert {path.name for path in (kafka.sasl_password_file, kafka.ssl_ca_file) if path} == held


def made_by_the_commands() -> dict[str, set[str]]:
    """Give the keys of each secret that the commands create, all in the namespace of the example."""
    namespace = yaml.safe_load((EXAMPLE / "kustomization.yaml").read_text(encoding="utf-8"))["namespace"]
    assert ["kubectl", "create", "namespace", namespace] in commands()
    secrets = {}
    for command in commands():
        if command[2:4] == ["secret", "generic"]:
            assert command[command.index("--namespace") + 1] == namespace, command
            given = [word.partition("=")[2] for word in command if word.startswith("--from-")]
            secrets[command[4]] = {each.partition("=")[0] for each in given}
    return secrets


def test_keda_reads_the_same_lag_from_the_same_brokers_with_its_own_user(
    installed: Manifests,
) -> None:
    data = installed["ConfigMap"]["data"]
    (trigger,) = installed["ScaledObject"]["spec"]["triggers"]
    asked = trigger["metadata"]
    assert asked["bootstrapServers"] == data["DIGITS_KAFKA__BOOTSTRAP_SERVERS"]
    assert asked["consumerGroup"] == data["DIGITS_KAFKA__GROUP_ID"]
    assert asked["topic"] == data["DIGITS_TOPICS__REQUESTS"]
    assert (asked["tls"] == "enable") is data["DIGITS_KAFKA__SECURITY_PROTOCOL"].endswith("SSL")
    assert asked["sasl"] == KEDAS_NAMES_OF_MECHANISMS[data["DIGITS_KAFKA__SASL_MECHANISM"]]
    assert all(isinstance(value, str) for value in asked.values()), "KEDA takes nothing else"

    authentication = installed["TriggerAuthentication"]
    assert trigger["authenticationRef"] == {"name": authentication["metadata"]["name"]}
    references = authentication["spec"]["secretTargetRef"]
    assert {each["parameter"] for each in references} == {"username", "password", "ca"}
    secrets = made_by_the_commands()
    assert all(each["key"] in secrets[each["name"]] for each in references)
    (user,) = [word for command in commands() for word in command if word.startswith("--from-literal=username=")]
    assert f"--allow-principal User:{user.rpartition('=')[2]} --operation Describe" in SECURITY


def test_the_network_policy_allows_only_dns_brokers_and_the_collector(
    traced: Manifests,
) -> None:
    names, kafka, collector = traced["NetworkPolicy"]["spec"]["egress"]
    assert {each["port"] for each in names["ports"]} == {53}
    ((peer,), (port,)) = (kafka["to"], kafka["ports"])
    host, number = brokers(traced)
    assert port == {"port": number}
    # No selector matches what is outside the cluster, and this is.
    assert not host.endswith((".svc", ".local"))
    assert ipaddress.ip_network(peer["ipBlock"]["cidr"]).num_addresses > 1
    endpoint = re.search(r"OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:(\d+)", OPERATIONS)
    assert endpoint
    assert collector["ports"] == [{"port": int(endpoint[1])}]


def test_the_operators_objects_get_the_label_and_keep_their_names(installed: Manifests) -> None:
    for kind in ("ServiceMonitor", "PrometheusRule"):
        assert installed[kind]["metadata"] == {
            "name": "digitstream",
            "namespace": "digitstream",
            "labels": {"release": "kube-prometheus-stack"},
        }
