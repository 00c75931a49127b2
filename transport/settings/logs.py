"""How a program logs: ``DIGITS_LOG__…``, for the service and for the gateway."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class LogFormat(StrEnum):
    """Format of the log lines."""

    CONSOLE = "console"
    JSON = "json"


class LogSettings(BaseModel):
    """``DIGITS_LOG__…``: format and level of the log lines."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: LogFormat = Field(
        default=LogFormat.CONSOLE, description="console: for people to read; json: for programs to parse."
    )
    level: Annotated[str, Field(pattern="^(debug|info|warning|error)$")] = Field(
        default="info", description="Lowest level that is logged: debug, info, warning or error."
    )
