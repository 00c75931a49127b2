"""`digit-engine models` as people call it, with a registry in a folder."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner, Result

from engine.cli import main
from tests.harness.models import version_of, write_folder


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["models", *(str(argument) for argument in arguments)])


def test_a_model_is_published_promoted_and_rolled_back(tmp_path: Path) -> None:
    store = tmp_path / "registry"
    for version in ("1", "2"):
        assert run("publish", write_folder(tmp_path / version, version_of(version)), store).exit_code == 0
        assert run("promote", f"{store}/digits@{version}", "--to", "production").exit_code == 0
    assert run("publish", tmp_path / "2", store).stdout.startswith("digits@2 was published already")
    assert json.loads(run("list", store, "--json").stdout) == [
        {"name": "digits", "version": "1", "aliases": []},
        {"name": "digits", "version": "2", "aliases": ["production"]},
    ]
    assert run("rollback", f"{store}/digits@production").stdout.startswith("digits@production is 1; manifest sha256 ")
    shown = json.loads(run("show", f"{store}/digits@production").stdout)
    assert shown["manifest_sha256"] == version_of("1").manifest_sha256
    assert shown["manifest"]["version"] == "1"


def test_what_cannot_be_done_is_one_sentence_and_exit_code_2(tmp_path: Path) -> None:
    store = tmp_path / "registry"
    store.mkdir()
    for command, why in [
        (("publish", tmp_path / "nowhere", store), "cannot be read"),
        (("list", tmp_path / "nowhere"), "is not a folder"),
        (("show", f"{store}/digits@1"), "is not in the store"),
        (("promote", f"{store}/digits@canary", "--to", "production"), "names an alias"),
        (("rollback", f"{store}/digits@1"), "names a version"),
    ]:
        result = run(*command)
        assert (result.exit_code, why in result.stderr.replace("\n", " ")) == (2, True), result.stderr
    assert not (tmp_path / "nowhere").exists()


def test_a_damaged_model_is_not_published(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "model", version_of("1"))
    (folder / "model.npz").write_bytes(b"damaged")
    result = run("publish", folder, tmp_path / "registry")
    assert (result.exit_code, "is damaged or belongs to another model" in result.stderr) == (2, True)
    assert not (tmp_path / "registry").exists()


def test_an_alias_that_names_nothing_is_shown_by_list(tmp_path: Path) -> None:
    store = tmp_path / "registry"
    run("publish", write_folder(tmp_path / "1", version_of("1")), store)
    run("promote", f"{store}/digits@1", "--to", "production")
    (store / "digits/versions/1/manifest.json").unlink()
    listed = run("list", store)
    assert (listed.exit_code, listed.stderr) == (0, "digits@production names 1, which is missing\n")


def test_a_registry_that_is_a_file_is_refused(tmp_path: Path) -> None:
    folder, file = write_folder(tmp_path / "1", version_of("1")), tmp_path / "file"
    file.write_text("no registry")
    for command in (("publish", folder, file), ("list", file), ("show", f"{file}/digits@1")):
        result = run(*command)
        assert (result.exit_code, "is not a folder" in result.stderr.replace("\n", " ")) == (2, True), result.stderr
    assert file.read_text() == "no registry"
