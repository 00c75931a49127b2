"""The package's metadata, the changelog, and the one version that everything names."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT: dict[str, Any] = PYPROJECT["project"]
VERSION: str = PROJECT["version"]
CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
DEPLOY = ROOT / "deploy"
RENDERED_TAGS = sorted(
    path for path in (DEPLOY / "kubernetes").rglob("kustomization.yaml") if "newTag" in path.read_text()
)


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def test_the_metadata_of_the_package_is_complete() -> None:
    command = [sys.executable, "-m", "pyroma", "--directory", "--min", "9", str(ROOT)]
    rated = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert rated.returncode == 0, rated.stdout + rated.stderr


def test_the_image_is_built_of_every_package_of_the_wheel() -> None:
    taken = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    packages = PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert {f"!{package}" for package in packages} <= set(taken)


@pytest.mark.parametrize("path", RENDERED_TAGS, ids=lambda path: path.parent.name)
def test_the_images_of_a_kustomization_have_the_version_of_the_project(path: Path) -> None:
    assert [image["newTag"] for image in read(path)["images"]] == [VERSION]


def test_the_chart_and_its_application_have_the_version_of_the_project() -> None:
    chart = read(DEPLOY / "helm/digitstream/Chart.yaml")
    assert (chart["version"], chart["appVersion"]) == (VERSION, VERSION)


def test_the_image_names_the_version_of_the_project() -> None:
    assert f"\nARG VERSION={VERSION}\n" in (ROOT / "Dockerfile").read_text(encoding="utf-8")


def test_the_documents_push_the_image_that_the_manifests_name() -> None:
    tags = re.findall(r"digitstream:(\d[\w.]*)", (ROOT / "docs/operations.md").read_text(encoding="utf-8"))
    assert tags
    assert set(tags) == {VERSION}


def test_the_changelog_begins_with_what_is_unreleased_and_the_version_of_the_project() -> None:
    sections = re.findall(r"^## \[([^]]+)\](?: - (\d{4}-\d{2}-\d{2}))?$", CHANGELOG, re.MULTILINE)
    assert sections[0] == ("Unreleased", "")
    assert sections[1][0] == VERSION
    dates = [date for _, date in sections[1:]]
    assert all(dates), "a version has the date of its release"
    assert dates == sorted(dates, reverse=True)


def test_the_changelog_sorts_what_changed_by_the_kinds_of_keep_a_changelog() -> None:
    kinds = set(re.findall(r"^### (.+)$", CHANGELOG, re.MULTILINE))
    assert kinds
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
