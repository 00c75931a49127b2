"""API keys, of which a file has the hashes; a change of the file takes effect within a second or two.

A key has 256 random bits, so a plain SHA-256 of it can neither be reversed nor guessed. A slow hash, which a password
needs, would only make each request slower. Keys are found by their hash, so the time that it takes says nothing about a
key.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
import time
import tomllib
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final

import structlog
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from producer.web.access.callers import Caller, Scope, not_signed_in

CHECK_INTERVAL_S: Final = 0.5
PREFIX: Final = "ds_"
"""Begins every key, so that scanners for secrets find keys in the wrong places."""
NAME: Final = "[A-Za-z0-9._@-]+"
MOST_NAME_CHARACTERS: Final = 100
log = structlog.get_logger()


class KeyFileError(Exception):
    """The file of keys cannot be used; the message says why, without its content."""


class _Key(BaseModel):
    """An entry ``[[keys]]`` of the file."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    name: Annotated[str, Field(max_length=MOST_NAME_CHARACTERS, pattern=f"^{NAME}$")]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    tenant: Annotated[str | None, Field(min_length=1, max_length=200)] = None
    scopes: frozenset[Scope] = frozenset(Scope)
    per_s: Annotated[float | None, Field(ge=0)] = None
    expires: AwareDatetime | None = None

    def caller(self) -> Caller:
        expires: datetime | None = self.expires
        return Caller(
            self.name,
            self.name if self.tenant is None else self.tenant,
            frozenset(self.scopes),
            self.per_s,
            None if expires is None else expires.timestamp(),
        )


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    keys: list[_Key] = []


def new_key() -> str:
    """Make a key."""
    return PREFIX + secrets.token_urlsafe(32)


def entry(name: str, key: str) -> list[str]:
    """Return the lines of a key's entry in the file.

    Raises
    ------
    ValueError
        The name cannot be used.
    """
    if not re.fullmatch(NAME, name) or len(name) > MOST_NAME_CHARACTERS:
        raise ValueError(f"the name of a key has 1 to {MOST_NAME_CHARACTERS} letters, digits, dots, _, @ or -")
    return ["[[keys]]", f'name = "{name}"', f'sha256 = "{hash_of(key)}"', 'scopes = ["predict", "read"]']


def hash_of(key: str) -> str:
    """Return the hash of a key as the file has it."""
    return hashlib.sha256(key.encode(errors="surrogateescape")).hexdigest()


def read_keys(path: Path) -> dict[str, Caller]:
    """Read the file: callers by the hash of their key.

    Raises
    ------
    KeyFileError
        The file cannot be read or has a mistake, or two entries have the same name or key.
    """
    try:
        entries = _File.model_validate(tomllib.loads(path.read_text(encoding="utf-8"))).keys
    except OSError as error:
        raise KeyFileError(f"cannot read it: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise KeyFileError("it is no TOML file") from error
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, line['loc']))}: {line['msg']}" for line in error.errors(include_input=False)]
        raise KeyFileError("; ".join(lines)) from error
    found = {entry.sha256: entry.caller() for entry in entries}
    if len(found) < len(entries) or len({entry.name for entry in entries}) < len(entries):
        raise KeyFileError("two entries have the same name or the same sha256")
    return found


class Keys:
    """The keys of the file. Owner: the task that runs `follow`; requests only read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._version: tuple[int, int, int] | None = None
        self._seen: tuple[int, int, int] | None = None
        self._callers: dict[str, Caller] = {}

    def load(self) -> None:
        """Read the file for the first time.

        Raises
        ------
        KeyFileError
            As `read_keys`.
        """
        self._version = self._seen = self._current_version()
        self._callers = read_keys(self._path)

    def caller(self, key: str) -> Caller | None:
        """Return whose key it is; None if it is not in the file.

        Raises
        ------
        ProblemError
            The key has expired.
        """
        caller = self._callers.get(hash_of(key))
        if caller is not None and caller.expires_at_s is not None and caller.expires_at_s <= time.time():
            raise not_signed_in("The API key has expired.", error="invalid_token")
        return caller

    async def follow(self) -> None:
        """Read the file again whenever it has changed, until the task is cancelled.

        If the new file cannot be used, the former keys stay valid and an error is logged: a mistake in the file must
        not lock everyone out.
        """
        while True:
            await asyncio.sleep(CHECK_INTERVAL_S)
            await asyncio.to_thread(self.check)

    def check(self) -> None:
        """Read the file again if it has changed, and no longer changes.

        A file that is written in place is empty or half there for a moment. The half may be a valid file without some
        of the keys, or without the last lines of a key, which limit it. So two checks in a row must see the same file.
        """
        version, seen = self._current_version(), self._seen
        self._seen = version
        if version == self._version or version != seen:
            return
        self._version = version
        try:
            self._callers = read_keys(self._path)
        except KeyFileError as error:
            why, action = str(error), "keeping the former keys"
            log.error("API keys not reloaded", file=str(self._path), why=why, action=action)  # noqa: TRY400  # `why` says it
        else:
            log.info("API keys reloaded", file=str(self._path), keys=len(self._callers))

    def _current_version(self) -> tuple[int, int, int] | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_ino, status.st_size
