"""Opening a store: what reaches obstore."""

from __future__ import annotations

from typing import Any

import obstore.store
import pytest

from engine.registry.stores import Store


@pytest.mark.parametrize(
    ("location", "variable", "allowed"),
    [
        ("s3://bucket", "AWS_ALLOW_HTTP", True),
        ("s3://bucket", "AZURE_ALLOW_HTTP", False),
        ("https://host", "AWS_ALLOW_HTTP", False),
        ("http://host", None, True),
    ],
)
def test_a_transfer_without_tls_must_be_asked_for(
    monkeypatch: pytest.MonkeyPatch, location: str, variable: str | None, *, allowed: bool
) -> None:
    given: dict[str, Any] = {}
    monkeypatch.setattr(obstore.store, "from_url", lambda _url, **options: given.update(options))
    if variable is not None:
        monkeypatch.setenv(variable, "true")
    Store.open(location, 5)
    assert given["client_options"].get("allow_http", False) == allowed
