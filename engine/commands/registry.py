"""`digit-engine models`: publishes models in a registry, and moves its aliases."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.markup import escape

from engine.commands.console import JsonOption, error_console, exit_unusable
from engine.model.classifier import Classifier
from engine.model.files import ModelError, ModelFiles
from engine.registry import registry
from engine.registry.location import Reference
from engine.registry.registry import Alias
from engine.registry.stores import Store, StoreUnavailable
from engine.terminal import print_table
from release.printable import printable

models = typer.Typer(
    no_args_is_help=True,
    help="Publish models in a registry: versions that never change, and aliases that say which one is served. STORE is "
    "a folder, or s3://BUCKET, gs://BUCKET, az://ACCOUNT/CONTAINER, each with or without a path.",
)

StoreArgument = Annotated[str, typer.Argument(metavar="STORE", help="Folder or URL of the registry.")]
VersionArgument = Annotated[str, typer.Argument(metavar="STORE/NAME@VERSION", help="A version of a model.")]
AliasArgument = Annotated[str, typer.Argument(metavar="STORE/NAME@ALIAS", help="An alias of a model.")]
TimeoutOption = Annotated[float, typer.Option("--timeout-s", min=1, help="Most time for one request.")]
TIMEOUT_S = 300.0


@models.command()
def publish(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the model.")],
    store: StoreArgument,
    *,
    timeout_s: TimeoutOption = TIMEOUT_S,
) -> None:
    """Check a model and publish it under the name and version of its manifest. A version is never replaced."""
    with _store_errors():
        files = ModelFiles.read(folder)
        Classifier.load_files(files)
        is_new = registry.publish(Store.open(store, timeout_s, create=True), files)
    info = files.info
    what = "published" if is_new else "was published already"
    typer.echo(f"{info.name}@{info.version} {what}; manifest sha256 {files.manifest_sha256}")


@models.command("list")
def list_models(store: StoreArgument, *, timeout_s: TimeoutOption = TIMEOUT_S, as_json: JsonOption = False) -> None:
    """List the versions in a registry, and the aliases that name them."""
    with _store_errors():
        listed = registry.entries(Store.open(store, timeout_s))
    rows = [
        (entry.name, version, sorted(alias for alias, to in entry.aliases.items() if to.now.version == version))
        for entry in listed
        for version in sorted({*entry.versions, *(to.now.version for to in entry.aliases.values())})
    ]
    for entry in listed:
        for alias, to in entry.aliases.items():
            if to.now.version not in entry.versions:
                missing = f"{entry.name}@{alias} names {to.now.version}, which is missing"
                error_console.print(escape(printable(missing)), soft_wrap=True)
    if as_json:
        fields = ("name", "version", "aliases")
        typer.echo(msgspec.json.encode([dict(zip(fields, row, strict=True)) for row in rows]))
    else:
        print_table(("name", "version", "aliases"), [(name, version, ", ".join(of)) for name, version, of in rows])


@models.command()
def show(
    reference: Annotated[str, typer.Argument(metavar="STORE/NAME@REF", help="A version or an alias of a model.")],
    *,
    timeout_s: TimeoutOption = TIMEOUT_S,
) -> None:
    """Read a model, check it, and print its manifest and the manifest's sha256 as JSON."""
    with _store_errors():
        asked = Reference.parse(reference)
        files = registry.read(Store.open(asked.store, timeout_s), asked.name, asked.ref)
    shown = {"manifest_sha256": files.manifest_sha256, "manifest": files.manifest}
    typer.echo(msgspec.json.format(msgspec.json.encode(shown), indent=2))


@models.command()
def promote(
    version: VersionArgument,
    *,
    to: Annotated[str, typer.Option("--to", metavar="ALIAS", help="Such as production or canary.")],
    timeout_s: TimeoutOption = TIMEOUT_S,
) -> None:
    """Let an alias name a version, after all of that version has been read and checked."""
    with _store_errors():
        asked = Reference.parse(version)
        if asked.is_alias:
            raise ModelError(f"{version} names an alias; an alias can only be moved to a version")
        moved = registry.promote(Store.open(asked.store, timeout_s), asked.name, asked.ref, to)
    _say(asked.name, to, moved)


@models.command()
def rollback(alias: AliasArgument, *, timeout_s: TimeoutOption = TIMEOUT_S) -> None:
    """Let an alias name the version before. A second rollback goes further back."""
    with _store_errors():
        asked = Reference.parse(alias)
        if not asked.is_alias:
            raise ModelError(f"{alias} names a version; only an alias can be rolled back")
        moved = registry.rollback(Store.open(asked.store, timeout_s), asked.name, asked.ref)
    _say(asked.name, asked.ref, moved)


def _say(name: str, alias: str, moved: Alias) -> None:
    before = f"; before: {moved.previous[0].version}" if moved.previous else ""
    typer.echo(f"{name}@{alias} is {moved.now.version}{before}; manifest sha256 {moved.now.manifest_sha256}")


@contextlib.contextmanager
def _store_errors() -> Iterator[None]:
    try:
        yield
    except (ModelError, StoreUnavailable, OSError) as error:
        raise exit_unusable(error) from error
