"""The names of models: a folder, an archive, a URL, or ``STORE/NAME@VERSION`` and ``STORE/NAME@ALIAS`` in a registry.

A version has a digit in its name and an alias has none, so that one can never be taken for the other.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from engine.model.files import ModelError

ARCHIVE_SUFFIX: Final = ".zip"
SCHEMES: Final = ("s3", "gs", "az", "https", "http")

_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:/")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_ALIAS: Final = re.compile(r"[a-z]+(-[a-z]+)*")


@dataclass(frozen=True, slots=True)
class Reference:
    """A model in a registry: ``STORE/NAME@REF``, with a version or an alias as `ref`."""

    store: str
    name: str
    ref: str

    @property
    def is_alias(self) -> bool:
        """True if `ref` is an alias."""
        return is_alias(self.ref)

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Split ``STORE/NAME@REF``.

        Raises
        ------
        ModelError
            The text has another form.
        """
        check_url(text)  # first, since messages below show the text
        store, _, last = text.rpartition("/")
        name, _, ref = last.partition("@")
        if not (store and is_name(name) and (is_alias(ref) or is_version(ref))):
            raise ModelError(f"{text} does not have the form STORE/NAME@VERSION or STORE/NAME@ALIAS")
        return cls(store, name, ref)


def is_name(text: str) -> bool:
    """Return whether a model may have this name."""
    return _NAME.fullmatch(text) is not None


def is_version(text: str) -> bool:
    """Return whether this may be a version: letters, digits, ``.``, ``_`` and ``-``, at least one of them a digit."""
    return is_name(text) and any(character.isdigit() for character in text)


def is_alias(text: str) -> bool:
    """Return whether this may be an alias: lower-case letters, in words joined by ``-``."""
    return _ALIAS.fullmatch(text) is not None


def is_url(text: str) -> bool:
    """Return whether a location is a URL, or was meant to be one; else it is a path."""
    return _URL.match(text) is not None


def is_reference(text: str) -> bool:
    """Return whether a location names a model in a registry; a path that exists is a folder or an archive."""
    return "@" in text.rpartition("/")[2] and (is_url(text) or not Path(text).exists())


def check_url(text: str) -> None:
    """Refuse a URL that no store can have, or that would carry a secret into logs. A path is always right.

    Raises
    ------
    ModelError
        It is no URL, the scheme is unknown, there is no host or bucket, or the URL has a user, a query or a fragment.
    """
    if not is_url(text):
        return
    try:
        parts = urlsplit(text)
    except ValueError as error:
        raise ModelError(f"the URL is none: {error}") from error
    if parts.scheme not in SCHEMES:
        raise ModelError(f"{parts.scheme}:// is not supported; known are {', '.join(f'{each}://' for each in SCHEMES)}")
    if not parts.netloc:
        raise ModelError("the URL names neither a bucket nor a host")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ModelError("a URL with a user, a query or a fragment is not supported: it could show a secret in logs")
