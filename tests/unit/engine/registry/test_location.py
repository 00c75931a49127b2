"""The names of models."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.model.files import ModelError
from engine.registry.location import Reference, check_url, is_alias, is_reference, is_version


@pytest.mark.parametrize(
    ("text", "store", "ref", "alias"),
    [
        ("s3://bucket/digits@production", "s3://bucket", "production", True),
        ("gs://bucket/team/digits@2.0.1-rc1", "gs://bucket/team", "2.0.1-rc1", False),
        ("registry/digits@v3", "registry", "v3", False),
    ],
)
def test_a_model_in_a_registry_is_named_by_store_name_and_version_or_alias(
    text: str, store: str, ref: str, *, alias: bool
) -> None:
    reference = Reference.parse(text)
    assert (reference, reference.is_alias) == (Reference(store, "digits", ref), alias)


@pytest.mark.parametrize(
    "text", ["digits@production", "s3://b/digits@", "s3://b/@2", "s3://b/digits@..", "s3://b/..@2", "s3://b/digits@A B"]
)
def test_what_has_another_form_is_refused(text: str) -> None:
    with pytest.raises(ModelError, match="does not have the form"):
        Reference.parse(text)


@pytest.mark.parametrize("text", ["2", "1.3.0", "v2", "blue", "production", "next-week", "..", "a/2", "Blue", ""])
def test_nothing_is_both_an_alias_and_a_version(text: str) -> None:
    assert not (is_alias(text) and is_version(text))


def test_a_folder_that_exists_is_a_folder_whatever_its_name(tmp_path: Path) -> None:
    folder = tmp_path / "digits@production"
    assert is_reference(str(folder))
    folder.mkdir()
    assert not is_reference(str(folder))


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("ftp://host/model", "ftp:// is not supported"),
        ("file:///model", "file:// is not supported"),
        ("https://[::1/model", "the URL is none"),
        ("https:/me:secret@host/model", "neither a bucket nor a host"),
        ("https:///model", "neither a bucket nor a host"),
        ("https://me:secret@host/model", "a user, a query or a fragment"),
        ("https://host/model.zip?sig=secret", "a user, a query or a fragment"),
        ("https://me:secret@host", "a user, a query or a fragment"),
    ],
)
def test_a_url_that_could_show_a_secret_or_has_no_store_is_refused(url: str, why: str) -> None:
    for refuse in (check_url, Reference.parse):
        with pytest.raises(ModelError, match=why) as caught:
            refuse(url)
        assert "secret@" not in str(caught.value)
        assert "sig=" not in str(caught.value)
