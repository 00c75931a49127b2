"""Settings of the Kafka connection, shared by service and commands, and how settings are read.

A setting is an environment variable ``DIGITS_…``, nested by ``__``. A wrong value stops the start with a message that
has the name, the value (secrets are masked) and what would be right. For an unknown variable the message has only the
name, because a misspelt name may be that of a secret.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
import re
from collections.abc import Iterator
from typing import Annotated, Any, Final, TypeVar

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, create_model, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, SettingsConfigDict

from contract.topics import TopicSettings
from transport.security.secret_files import MASK, is_secret
from transport.settings.connection import ConnectionSettings

PREFIX: Final = "DIGITS_"
SERVE_PREFIX: Final = "DIGITS_WEB__"
"""Of the settings that `digit-producer serve` alone has."""
DELIMITER: Final = "__"
TYPO_SIMILARITY: Final = 0.75
"""The similarity, from 0 to 1, from which on one name counts as a misspelling of the other."""


class SettingsError(Exception):
    """Settings cannot be used; the message names each of them and what would be right."""


class KafkaSettings(ConnectionSettings):
    """The connection: ``DIGITS_KAFKA__…``."""

    group_id: Annotated[str, Field(min_length=1, description="Consumer group of the service.")] = "digitstream"
    wait_s: Annotated[float, Field(ge=0, description="How long to keep trying to reach the brokers at the start.")] = 15


class ClientSettings(BaseSettings):
    """The settings that every program needs that reads or writes the topics."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter=DELIMITER,
        extra="ignore",
        frozen=True,
        env_ignore_empty=False,
        hide_input_in_errors=True,  # a secret may be in it
    )

    kafka: KafkaSettings = KafkaSettings()
    topics: TopicSettings = TopicSettings()


class GroupKafkaSettings(KafkaSettings):
    """The connection, and the time limits of a member of the group."""

    session_timeout_ms: int = Field(
        default=10_000,
        ge=6_000,
        le=1_800_000,
        description="The group waits so long for a silent member before others take over.",
    )
    transaction_timeout_ms: int = Field(
        default=60_000, ge=1_000, le=900_000, description="The broker aborts a transaction that is open for longer."
    )

    group_instance_id: Annotated[str, Field(pattern=r"^[a-zA-Z0-9._-]{0,249}$")] = Field(
        default="",
        description="Name of this instance in the group (static membership, KIP-345). If the instance starts again "
        "under the same name within the session, no partition moves. Each instance needs a name of its own. Empty: "
        "the instance leaves the group when it ends.",
    )
    request_timeout_ms: int = Field(
        default=5_000,
        ge=1_000,
        le=1_800_000,
        description="A broker that is silent for longer is taken to hang; below the session.",
    )

    @model_validator(mode="after")
    def _a_request_ends_before_the_session(self) -> GroupKafkaSettings:
        # Otherwise a member whose coordinator hangs would lose its session before it looks for the next coordinator.
        if self.request_timeout_ms >= self.session_timeout_ms:
            raise ValueError("request_timeout_ms must be below session_timeout_ms")
        return self


class GroupSettings(ClientSettings):
    """The settings that a member of the group needs."""

    kafka: GroupKafkaSettings = GroupKafkaSettings()


_Settings = TypeVar("_Settings", bound=BaseSettings)


def load(kind: type[_Settings], *, owns_prefix: bool) -> _Settings:
    """Read settings of a kind from the environment.

    Parameters
    ----------
    kind
        The settings model.
    owns_prefix
        True if every variable ``DIGITS_…`` must be one of `kind`'s, except those of the HTTP server, which may share an
        environment with the service. False for a client: the
        environment may also be that of the service, which has more settings in the same groups, so
        only a misspelling of the client's own settings is refused.

    Raises
    ------
    SettingsError
        The message names every unknown or wrong variable and what would be right, and the wrong value.
    """
    problems = list(_unknown(kind, owns_prefix=owns_prefix))
    if problems:
        raise SettingsError("\n".join(problems))
    try:
        return kind()
    except ValidationError as error:
        raise SettingsError("\n".join(_explain(kind, line) for line in error.errors())) from error


def variables(kind: type[Any], prefix: str = PREFIX) -> dict[str, FieldInfo]:
    """Return every variable of a settings model with its field, in the order of definition."""
    if dataclasses.is_dataclass(kind):
        meanings = _docstrings(kind)
        return {
            f"{prefix}{each.name}".upper(): FieldInfo(
                annotation=each.type,  # type: ignore[arg-type]  # a type or its name
                default=each.default,
                description=meanings[each.name],
            )
            for each in dataclasses.fields(kind)
        }
    found: dict[str, FieldInfo] = {}
    for name, field in kind.model_fields.items():
        variable = f"{prefix}{name}".upper()
        nested = field.annotation
        if isinstance(nested, type) and (issubclass(nested, BaseModel) or dataclasses.is_dataclass(nested)):
            found |= variables(nested, f"{variable}{DELIMITER}")
        else:
            found[variable] = field
    return found


def _docstrings(kind: type[Any]) -> dict[str, str | None]:
    """Read the docstring of each field of a dataclass; only pydantic models keep them."""
    holder = create_model("_Holder", __config__=ConfigDict(use_attribute_docstrings=True), held=(kind, ...))
    described = holder.model_json_schema()["$defs"][kind.__name__]["properties"]
    return {name: field.get("description") for name, field in described.items()}


def _unknown(kind: type[BaseSettings], *, owns_prefix: bool) -> Iterator[str]:
    known = variables(kind)
    groups = {name.rpartition(DELIMITER)[0] for name in known if DELIMITER in name}
    serves = any(name.startswith(SERVE_PREFIX) for name in known)
    for name in sorted(os.environ):
        upper = name.upper()
        if not upper.startswith(PREFIX) or upper in known or (upper.startswith(SERVE_PREFIX) and not serves):
            continue
        group, _, last = upper.rpartition(DELIMITER)
        # Only the last part is compared, because all names of a group begin with the same parts.
        siblings = {sibling.removeprefix(group + DELIMITER): sibling for sibling in known if sibling.startswith(group)}
        near = [siblings[part] for part in difflib.get_close_matches(last, siblings, n=1, cutoff=TYPO_SIMILARITY)]
        if upper in groups:
            yield f"{name}: there is no such setting; known are {', '.join(each for each in known if upper in each)}"
        elif owns_prefix or (near and group in groups):
            near = near or difflib.get_close_matches(upper, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
            yield f"{name}: there is no such setting; {hint}"


def _explain(kind: type[BaseSettings], line: Any) -> str:
    name = PREFIX + DELIMITER.join(str(part) for part in line["loc"]).upper()
    message = str(line["msg"]).removeprefix("Value error, ")
    field = variables(kind).get(name)
    if field is None:  # a rule between the settings of one group: the message names them
        return f"{name}{DELIMITER}…: {message}"
    meaning = f" ({field.description})" if field.description else ""
    return f"{name}={_shown(name, field, line['input'])}: {message}{meaning}"


def _shown(name: str, field: FieldInfo, value: object) -> str:
    types = (field.annotation, *getattr(field.annotation, "__args__", ()))
    if SecretStr in types or is_secret(name) or isinstance(value, dict):  # a dict holds unknown variables
        return MASK
    text = str(value)
    if ":/" in text:
        text = re.sub(r"[?#].*", f"?{MASK}", text, flags=re.DOTALL)  # the query of a URL may be a signature
    # As in user:password@host:9092; the password may contain commas and @.
    before, _, host = text.rpartition("@")
    return repr(f"{MASK}@{host}" if before else text)
