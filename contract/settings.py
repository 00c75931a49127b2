"""Settings of the Kafka connection, shared by both sides, and how settings are read.

A setting is an environment variable ``DIGITS_…``, nested by ``__``. A wrong or unknown one stops the
start with its name, its value (secrets masked) and what would be right.
"""

from __future__ import annotations

import difflib
import os
from typing import Annotated, Any, Final, TypeVar

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from contract.topics import TopicSettings

PREFIX: Final = "DIGITS_"
DELIMITER: Final = "__"


class SettingsError(Exception):
    """Settings that cannot be used; the message names each with what would be right."""


class KafkaSettings(BaseModel):
    """The connection: ``DIGITS_KAFKA__…``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    bootstrap_servers: Annotated[
        str,
        Field(pattern=r"^[^\s,:]+:\d+(,[^\s,:]+:\d+)*$", description="host:port of brokers, comma-separated."),
    ] = "localhost:9092"
    group_id: Annotated[str, Field(min_length=1, description="Consumer group of the service.")] = "digitstream"

    def client_options(self) -> dict[str, Any]:
        """Keyword arguments that every aiokafka client takes to reach the cluster."""
        return {"bootstrap_servers": self.bootstrap_servers.split(",")}


class ClientSettings(BaseSettings):
    """What anyone who talks to the topics needs."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter=DELIMITER, extra="ignore", frozen=True, env_ignore_empty=False
    )

    kafka: KafkaSettings = KafkaSettings()
    topics: TopicSettings = TopicSettings()


_Settings = TypeVar("_Settings", bound=BaseSettings)


def load(kind: type[_Settings], *, owns_prefix: bool) -> _Settings:
    """Read settings of a kind from the environment.

    Parameters
    ----------
    kind
        The settings model.
    owns_prefix
        True if every variable ``DIGITS_…`` must be one of `kind`'s. False (a client on the service's
        machine) if only those of its own groups must be.

    Raises
    ------
    SettingsError
        Names every unknown or wrong variable, its value and what would be right.
    """
    complaints = list(_unknown(kind, owns_prefix=owns_prefix))
    if complaints:
        raise SettingsError("\n".join(complaints))
    try:
        return kind()
    except ValidationError as error:
        raise SettingsError("\n".join(_explain(kind, line) for line in error.errors())) from error


def variables(kind: type[BaseModel], prefix: str = PREFIX) -> dict[str, Any]:
    """Every variable of a settings model with its field, in the order of definition."""
    found: dict[str, Any] = {}
    for name, field in kind.model_fields.items():
        variable = f"{prefix}{name}".upper()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            found |= variables(field.annotation, f"{variable}{DELIMITER}")
        else:
            found[variable] = field
    return found


def _unknown(kind: type[BaseSettings], *, owns_prefix: bool) -> list[str]:
    known = variables(kind)
    groups = {name.split(DELIMITER)[0] + DELIMITER for name in known if DELIMITER in name}
    complaints = []
    for name in sorted(os.environ):
        ours = name.upper().startswith(PREFIX if owns_prefix else tuple(groups))
        if ours and name.upper() not in known:
            near = difflib.get_close_matches(name.upper(), known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
            complaints.append(f"{name}={_masked(name, os.environ[name])}: there is no such setting; {hint}")
    return complaints


def _explain(kind: type[BaseSettings], line: Any) -> str:
    name = PREFIX + DELIMITER.join(str(part) for part in line["loc"]).upper()
    field = variables(kind).get(name)
    meaning = f" ({field.description})" if field is not None and field.description else ""
    value = _masked(name, os.environ.get(name, str(line["input"])), secret=_is_secret(field))
    return f"{name}={value}: {line['msg']}{meaning}"


def _is_secret(field: Any) -> bool:
    return field is not None and SecretStr in (field.annotation, *getattr(field.annotation, "__args__", ()))


def _masked(name: str, value: str, *, secret: bool = False) -> str:
    looks_secret = any(word in name.upper() for word in ("PASSWORD", "SECRET", "TOKEN"))
    return "********" if secret or looks_secret else repr(value)
