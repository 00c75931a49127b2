"""The three topics, and the settings they should have."""

from __future__ import annotations

from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

MAX_RECORD_BYTES: Final = 16 * 1024 * 1024
"""A request's value, by default; the requests topic allows 64 KiB more for key, headers and framing."""
DEAD_LETTER_OVERHEAD_BYTES: Final = 1024 * 1024
"""Room for the headers that a dead letter adds to the original record."""
CLOCK_TOLERANCE_MS: Final = 3_600_000
"""A request may be dated so far ahead of the brokers' time: Kafka's default of ``message.timestamp.after.max.ms``."""

TopicName = Annotated[str, Field(pattern=r"^[a-zA-Z0-9._-]{1,249}$")]


class TopicSettings(BaseModel):
    """Names of the topics: ``DIGITS_TOPICS__REQUESTS`` and so on."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    requests: TopicName = Field(default="digits.requests", description="Images and zip archives come in here.")
    predictions: TopicName = Field(default="digits.predictions", description="One JSON result per image goes out here.")
    dead_letter: TopicName = Field(default="digits.dead-letter", description="Original bytes of what failed.")

    @model_validator(mode="after")
    def _three_topics(self) -> Self:
        # One topic in two roles would feed results or failures back in as requests.
        if len(set(self.names)) < len(self.names):
            raise ValueError("requests, predictions and dead letters need a topic each")
        return self

    @property
    def names(self) -> tuple[str, str, str]:
        """All three: requests, predictions, dead letters."""
        return self.requests, self.predictions, self.dead_letter

    def creation_configs(self) -> dict[str, dict[str, str]]:
        """Topic-level settings by topic name, for whoever creates the topics.

        Requests are stored uncompressed: the broker then inflates a compressed batch and refuses it
        above ``max.message.bytes``, where the client would inflate it without a limit.
        """
        request_bytes = MAX_RECORD_BYTES + 64 * 1024
        return {
            self.requests: {"compression.type": "uncompressed", "max.message.bytes": str(request_bytes)},
            self.predictions: {"max.message.bytes": str(4 * 1024 * 1024)},
            self.dead_letter: {"max.message.bytes": str(request_bytes + DEAD_LETTER_OVERHEAD_BYTES)},
        }
