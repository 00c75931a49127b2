"""Where reports of unexpected errors go: ``DIGITS_SENTRY_…``, for the service and for the gateway."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, Field, SecretStr

from transport.security.sasl import Optional


def _dsn(value: SecretStr | None) -> SecretStr | None:
    """Refuse what is no DSN, without repeating it: it has a key. An empty one means that reports are off."""
    text = value.get_secret_value() if value else ""
    if not text:
        return None
    try:
        parts = urlsplit(text)
        is_dsn = parts.port != 0 and bool(parts.hostname and parts.username)
    except ValueError:  # the port is no number, or the brackets of an address do not match
        is_dsn = False
    if not is_dsn or parts.scheme not in {"http", "https"} or not parts.path.rpartition("/")[2].isdecimal():
        raise ValueError("a DSN has the form https://KEY@HOST/PROJECT, and its project is a number")
    return value


class ReportSettings(BaseModel):
    """The settings of reports. A program adds them to its own settings by inheritance."""

    sentry_dsn: Annotated[Optional[SecretStr], AfterValidator(_dsn)] = Field(
        default=None,
        description="Address (DSN) of the Sentry project that unexpected errors and fatal ends are reported to; empty: "
        "nothing is reported. It needs digitstream[sentry].",
    )
    sentry_environment: Annotated[str, Field(pattern=r"^[a-zA-Z0-9._-]{1,64}$")] = Field(
        default="production", description="The environment that reports name."
    )
    sentry_sample_rate: float = Field(
        default=1, ge=0, le=1, description="Share of the errors that is reported. Fatal ends are always reported."
    )
