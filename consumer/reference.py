"""Every setting with its value or default, and its meaning: for a shell, and for docs/settings.md."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any, Final

from pydantic import SecretStr

from consumer.settings import Settings
from transport.settings.kafka import DELIMITER, PREFIX, variables

_KIB: Final = 1024
_HEAD: Final = """\
# Settings of the service

<!-- Made by `digit-consumer settings --markdown`; a test compares. -->

The service is set up by environment variables. A wrong or unknown one stops the start with its name and what would be
right; the value of a wrong one is shown too, unless it is a secret. `digit-consumer settings` prints those in effect,
secrets masked. Of these the producer's commands read the topics, the group and how the brokers are reached (`WAIT_S` is
15 there); [security.md](security.md) has whole examples. `DIGITS_LIMITS__…` are upper bounds of one payload
(`SIDE_MIN_PX` a lower one): what is beyond them is answered as failed.

Every command that talks to Kafka takes some of them as options, too: `--bootstrap-servers`, `--wait-for-broker`
(`WAIT_S`), and `--env-file FILE` with lines `DIGITS_…=value`. An option wins over the environment, and the environment
over the file; a line of the file that is no setting is refused with its number.

| Variable | Default | Meaning |
| --- | --- | --- |"""


def as_environment(settings: Settings) -> Iterator[str]:
    """Yield the lines of a file that sets every variable to its present value; secrets are masked."""
    for name, field in variables(Settings).items():
        value: Any = settings
        for part in name.removeprefix(PREFIX).lower().split(DELIMITER):
            value = getattr(value, part)
        yield f"# {field.description}"
        yield f"{name}={shlex.quote(_text(value))}"


def as_markdown() -> Iterator[str]:
    """Yield the lines of docs/settings.md."""
    yield _HEAD
    for name, field in variables(Settings).items():
        default = "" if field.default_factory or field.default is None else f"`{_text(field.default)}`"
        if name.endswith("_BYTES") and field.default % _KIB == 0:
            default += f" ({_in_words(field.default)})"
        yield f"| `{name}` | {default} | {field.description} |"


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return ""
    return "********" if isinstance(value, SecretStr) else str(value)


def _in_words(size_bytes: int) -> str:
    mebibytes, rest = divmod(size_bytes, _KIB * _KIB)
    return f"{size_bytes // _KIB} KiB" if rest else f"{mebibytes} MiB"
