"""Opening a store: what reaches obstore."""

from __future__ import annotations

from typing import Any

import obstore.store
import pytest

from engine.model.files import ModelError
from engine.registry.stores import Store, StoreUnavailable


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


@pytest.mark.parametrize(
    ("location", "variables"),
    [
        ("s3://bucket", {"AWS_ENDPOINT": "http://user:secret@127.0.0.1:1", "AWS_ALLOW_HTTP": "true"}),
        ("s3://bucket", {"AWS_ENDPOINT": "secret is no URL"}),
        ("s3://bucket", {"AWS_ENDPOINT": "http://127.0.0.1:1", "AWS_SESSION_TOKEN": "secret\n"}),
        ("gs://bucket", {"GOOGLE_SERVICE_ACCOUNT_KEY": '"secret"'}),
        ("gs://bucket", {"GOOGLE_SERVICE_ACCOUNT_KEY": '{"private_key": "secret'}),
        ("az://container", {"AZURE_STORAGE_ACCOUNT_NAME": "a", "AZURE_STORAGE_ACCOUNT_KEY": "secret, no base64"}),
    ],
)
def test_damaged_credentials_are_an_error_without_them(
    monkeypatch: pytest.MonkeyPatch, location: str, variables: dict[str, str]
) -> None:
    keys = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}
    for name, value in (keys | variables).items():
        monkeypatch.setenv(name, value)
    with pytest.raises((ModelError, StoreUnavailable)) as error:
        Store.open(location, 5).read("model", 1)
    assert "secret" not in str(error.value)
