"""The three topics, and the settings they should have."""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel, ConfigDict, Field

MAX_RECORD_BYTES: Final = 16 * 1024 * 1024
"""A request's value, by default; the requests topic allows 64 KiB more for key, headers and framing."""
DEAD_LETTER_OVERHEAD_BYTES: Final = 1024 * 1024
"""Room for the headers that a dead letter adds to the original record."""


class TopicSettings(BaseModel):
    """Names of the topics: ``DIGITS_TOPICS__REQUESTS`` and so on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    requests: str = Field(default="digits.requests", description="Images and zip archives come in here.")
    predictions: str = Field(default="digits.predictions", description="One JSON result per image goes out here.")
    dead_letter: str = Field(default="digits.dead-letter", description="Original bytes of what failed.")

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
