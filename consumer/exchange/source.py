"""Looks which model the location in the settings has now, and fetches it unless it is known. It blocks."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from consumer.settings import Settings
from consumer.startup.model import fetch_model
from consumer.workers.processes.pinned_model import PinnedModel
from engine.model.files import ModelError
from engine.registry.location import Reference, is_reference
from engine.registry.registry import Target, read_alias
from engine.registry.stores import AccessRefused, NotInStore, Store, StoreUnavailable
from transport.errors import describe


@dataclass(frozen=True, slots=True)
class Found:
    """What the location has now.

    Attributes
    ----------
    manifest_sha256
        The checksum of its manifest, which stands for the whole model.
    model
        The model, which the caller closes; None if it is known already.
    warnings
        Sentences that the caller logs.
    """

    manifest_sha256: str
    model: PinnedModel | None
    warnings: tuple[str, ...] = ()


class DamagedModelError(Exception):
    """The location has something that no worker could load.

    Attributes
    ----------
    target
        What the alias names; None if the location is no alias, so that nothing identifies the damaged model.
    """

    def __init__(self, why: str, target: Target | None) -> None:
        super().__init__(why)
        self.target = target


def alias_of(settings: Settings) -> Reference | None:
    """Return the alias that the settings follow; None if they name something else, or pin the model."""
    if settings.model_sha256 is not None or not is_reference(settings.model):
        return None
    reference = Reference.parse(settings.model)
    return reference if reference.is_alias else None


def find(settings: Settings, known: Collection[str]) -> Found:
    """Return what the location has. Of an alias to a known model only the alias is read.

    Parameters
    ----------
    settings
        Of the service.
    known
        Checksums of the manifests of models that need not be fetched.

    Raises
    ------
    DamagedModelError
        The model is damaged, or has something that no model has.
    ModelError
        There is none, or the store refuses access.
    StoreUnavailable
        The store did not answer.
    OSError
        There is not enough memory for the model.
    """
    target = None
    if (alias := alias_of(settings)) is not None:
        target = read_alias(Store.open(alias.store, settings.model_timeout_s), alias.name, alias.ref)[0].now
        if target.manifest_sha256 in known:
            return Found(target.manifest_sha256, None)
    try:
        fetched = fetch_model(settings)
    except (NotInStore, AccessRefused, StoreUnavailable, OSError):
        raise
    except Exception as error:
        # Whatever else the bytes of a model may cause here, the service goes on with the one that it has.
        why = str(error) if isinstance(error, ModelError) else describe(error)
        raise DamagedModelError(why, target) from error
    files, warnings = fetched.files, fetched.warnings
    if files.manifest_sha256 in known:
        return Found(files.manifest_sha256, None, warnings)
    return Found(files.manifest_sha256, PinnedModel.of(files, settings.model), warnings)
