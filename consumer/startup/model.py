"""Fetches the models that the settings name."""

from __future__ import annotations

from typing import NamedTuple

from consumer.settings import Settings
from consumer.workers.processes.pinned_model import PinnedModel
from engine.model.files import ModelError
from engine.registry.fetch import Fetched, fetch
from engine.registry.stores import StoreUnavailable
from transport.errors import describe


class FetchedChallenger(NamedTuple):
    """The challenger, which its owner closes."""

    model: PinnedModel | None
    """None if none is set, or if it is left out."""
    problem: str = ""
    """Why it is left out; empty if it is not, or if none is set."""
    warnings: tuple[str, ...] = ()
    """Sentences that the caller logs."""

    def close(self) -> None:
        """Release its memory."""
        if self.model is not None:
            self.model.close()


def fetch_model(settings: Settings) -> Fetched:
    """Fetch and check the model; `engine.registry.fetch.fetch` says what it raises."""
    return fetch(
        settings.model,
        manifest_sha256=settings.model_sha256,
        cache=settings.model_cache,
        timeout_s=settings.model_timeout_s,
    )


def fetch_challenger(settings: Settings) -> FetchedChallenger:
    """Fetch and check the challenger, if one is set. Whatever is wrong with it, the service starts without it."""
    if settings.challenger is None or not settings.challenger_share:
        return FetchedChallenger(None)
    try:
        fetched = fetch(
            settings.challenger,
            manifest_sha256=settings.challenger_sha256,
            cache=settings.model_cache,
            timeout_s=settings.model_timeout_s,
        )
        pinned = PinnedModel.of(fetched.files, settings.challenger)
    except (ModelError, StoreUnavailable, OSError) as error:
        return FetchedChallenger(None, str(error))
    except Exception as error:  # noqa: BLE001  # of the bytes of a model, which may cause anything
        return FetchedChallenger(None, describe(error))
    return FetchedChallenger(pinned, warnings=fetched.warnings)
