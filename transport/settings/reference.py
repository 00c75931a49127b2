"""Prints every setting with its meaning: with its value for a shell, with its default for the documentation."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from typing import Any, Final

from pydantic import SecretStr
from pydantic_settings import BaseSettings

from transport.settings.kafka import DELIMITER, PREFIX, variables

_KIB: Final = 1024


def as_environment(settings: BaseSettings) -> Iterator[str]:
    """Yield the lines of a file that sets every variable to its current value; secrets are masked."""
    for name, field in variables(type(settings)).items():
        value: Any = settings
        for part in name.removeprefix(PREFIX).lower().split(DELIMITER):
            value = getattr(value, part)
        yield f"# {field.description}"
        yield f"{name}={shlex.quote(_text(value))}"


def as_table(kind: type[BaseSettings], prefix: str = PREFIX) -> Iterator[str]:
    """Yield the lines of a Markdown table of the variables that begin with a prefix."""
    yield "| Variable | Default | Meaning |"
    yield "| --- | --- | --- |"
    for name, field in variables(kind).items():
        if name.startswith(prefix):
            has_none = field.default_factory or field.default in (None, ())
            default = "" if has_none else f"`{_text(field.default)}`"
            if name.endswith("_BYTES") and field.default % _KIB == 0:
                default += f" ({_in_words(field.default)})"
            yield f"| `{name}` | {default} | {field.description} |"


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return ""
    if isinstance(value, tuple):
        return json.dumps(value)
    return "********" if isinstance(value, SecretStr) else str(value)


def _in_words(size_bytes: int) -> str:
    mebibytes, rest = divmod(size_bytes, _KIB * _KIB)
    return f"{size_bytes // _KIB} KiB" if rest else f"{mebibytes} MiB"
