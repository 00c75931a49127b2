"""A model from a bucket: image, Compose, manifests and pages agree on where it is kept and how long it takes."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from consumer.settings import Settings
from tests.harness.kubernetes_tools import Manifests, kustomize, renders_kustomize
from transport.settings.kafka import load

pytestmark = renders_kustomize

ROOT = Path(__file__).parents[3]
KUBERNETES = ROOT / "deploy/kubernetes"
OPERATIONS = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
CACHE = "/var/cache/digits"
READY_S = 25
"""Generous for what comes after the model until the health server answers."""


def block(first_line: str) -> Any:
    (found,) = re.findall(rf"^```yaml\n# {first_line}.*?\n(.*?)^```", OPERATIONS, re.MULTILINE | re.DOTALL)
    return yaml.safe_load(found)


def test_the_image_has_the_folder_for_the_volume_and_its_user_owns_it() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    (user,) = re.findall(r"^USER (\d+):(\d+)$", dockerfile, re.MULTILINE)
    assert f"RUN install -d -o {user[0]} -g {user[1]} {CACHE}\n" in dockerfile


def test_the_override_for_compose_mounts_a_volume_where_models_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    override = block(r"docker-compose\.override\.yml, with a model from a bucket")
    consumer = override["services"]["consumer"]
    for name, value in consumer["environment"].items():
        monkeypatch.setenv(name, value)
    settings = load(Settings, owns_prefix=True)
    assert settings.model.startswith("s3://")
    assert consumer["volumes"] == [f"models:{settings.model_cache}"]
    assert str(settings.model_cache) == CACHE
    assert override["volumes"].keys() == {"models"}


def test_the_startup_probe_waits_for_longer_than_the_model_may_take() -> None:
    deployment = yaml.safe_load((KUBERNETES / "base/deployment.yaml").read_text(encoding="utf-8"))
    probe = deployment["spec"]["template"]["spec"]["containers"][0]["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] > Settings().model_timeout_s + READY_S


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Manifests:
    """Give what an overlay installs that has the lines of the page."""
    folder = tmp_path_factory.mktemp("overlay")
    lines = block(r"in kustomization\.yaml, with a model from a bucket")
    overlay = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [os.path.relpath(KUBERNETES / "base", folder)],
        "components": [
            os.path.relpath((KUBERNETES / "overlays/example" / each).resolve(), folder) for each in lines["components"]
        ],
        "patches": lines["patches"],
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(overlay), encoding="utf-8")
    return kustomize(folder)


def test_what_the_component_makes_of_the_base_is_valid(installed: Manifests) -> None:
    for manifest in installed.values():
        kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)


def test_the_volume_is_mounted_where_models_are_kept(installed: Manifests) -> None:
    spec = installed["Deployment"]["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    claim = installed["PersistentVolumeClaim"]["metadata"]["name"]
    assert {"name": "models", "persistentVolumeClaim": {"claimName": claim}} in spec["volumes"]
    assert {"name": "models", "mountPath": CACHE} in container["volumeMounts"]
    assert container["env"] == [{"name": "DIGITS_MODEL_CACHE", "value": CACHE}]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True


def test_the_credentials_come_from_the_secret_that_the_page_makes(installed: Manifests) -> None:
    (container,) = installed["Deployment"]["spec"]["template"]["spec"]["containers"]
    (secret,) = (each["secretRef"]["name"] for each in container["envFrom"] if "secretRef" in each)
    assert f"kubectl create secret generic {secret} --namespace digitstream --from-env-file=store.env" in OPERATIONS


def test_the_bucket_of_the_configmap_can_be_reached(installed: Manifests) -> None:
    assert installed["ConfigMap"]["data"]["DIGITS_MODEL"].startswith("s3://")
    assert installed["NetworkPolicy"]["spec"]["egress"][-1] == {"ports": [{"port": 443}]}


def test_the_values_for_helm_are_those_of_the_chart() -> None:
    values = block("values of an installation with a model from a bucket")
    chart = yaml.safe_load((ROOT / "deploy/helm/digitstream/values.yaml").read_text(encoding="utf-8"))
    assert values["modelStore"].keys() <= chart["modelStore"].keys()
    assert values["settings"]["DIGITS_MODEL"].startswith("s3://")
