"""Tools of Kubernetes for tests: those that are installed, else built once by Go into the user's cache folder."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

FOLDER: Final = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "digitstream" / "tools"
"""Beside Kafka's jars: `make clean` keeps it, since a build takes minutes."""
KUSTOMIZE: Final = "sigs.k8s.io/kustomize/kustomize/v5@v5.8.1"
HELM: Final = "helm.sh/helm/v3/cmd/helm@v3.20.2"
BUILD_TIMEOUT_S: Final = 900
RUN_TIMEOUT_S: Final = 60

renders_kustomize: Final = (
    [] if shutil.which("kubectl") else [pytest.mark.slow, pytest.mark.timeout(BUILD_TIMEOUT_S + 60)]
)
"""Marks of tests that call `kustomize`: without kubectl Go has to build it, for minutes."""

Manifests = dict[str, dict[str, Any]]
"""Objects by their kind. No two of ours have the same."""


def kustomize(folder: Path) -> Manifests:
    """Render a kustomization as ``kubectl apply --kustomize`` does."""
    kubectl = shutil.which("kubectl")
    command = [kubectl, "kustomize"] if kubectl else [tool("kustomize", KUSTOMIZE), "build"]
    return by_kind(output(*command, str(folder)))


def tool(name: str, package: str) -> str:
    """Give the path of an installed tool, or of one that Go builds; without Go the test is skipped.

    Parameters
    ----------
    name : str
        Of the command.
    package : str
        Path and version of the Go package that it is built from where it is not installed.
    """
    if found := shutil.which(name):
        return found
    built = FOLDER / package.rpartition("@")[2] / name
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests run in more than one process; the first builds
        if not built.exists():
            _build(name, package, built.parent)
    return str(built)


def _build(name: str, package: str, folder: Path) -> None:
    go = shutil.which("go")
    if go is None:
        pytest.skip(f"neither {name} is installed nor Go, which could build it")
    command = [go, "install", "-trimpath", package]
    environment = os.environ | {"GOBIN": str(folder)}
    try:
        subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=BUILD_TIMEOUT_S)
    except subprocess.CalledProcessError as error:
        reason = f"{name} is not installed, and `{' '.join(command[1:])}` failed: {error.stderr.strip()[-300:]}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)


def output(*command: str) -> str:
    """Run a command and give its standard output; on failure, the test fails with what it wrote to the other one."""
    ran = subprocess.run(command, check=False, capture_output=True, text=True, timeout=RUN_TIMEOUT_S)
    assert ran.returncode == 0, f"{' '.join(command)}: {ran.stderr}"
    return ran.stdout


def by_kind(documents: str) -> Manifests:
    """Read YAML documents, each of another kind."""
    read = [document for document in yaml.safe_load_all(documents) if document]
    manifests = {document["kind"]: document for document in read}
    assert len(manifests) == len(read), "two objects of one kind"
    return manifests
