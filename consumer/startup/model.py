"""Fetches the model that the settings name."""

from __future__ import annotations

from consumer.settings import Settings
from engine.registry.fetch import Fetched, fetch


def fetch_model(settings: Settings) -> Fetched:
    """Fetch and check the model; `engine.registry.fetch.fetch` says what it raises."""
    return fetch(
        settings.model,
        manifest_sha256=settings.model_sha256,
        cache=settings.model_cache,
        timeout_s=settings.model_timeout_s,
    )
