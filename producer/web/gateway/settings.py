"""The settings of the gateway: limits of what it keeps, when it refuses, and the topic of its keys."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from contract.topics import TopicName


class GatewaySettings(BaseModel):
    """A part of the settings of `digit-producer serve`: ``DIGITS_WEB__GATEWAY__…``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    keys_topic: TopicName = Field(
        default="digits.http-keys", description="Has a record for each request with a key. Created if it is missing."
    )
    keys_partitions: int = Field(default=8, ge=1, le=256, description="Partitions of that topic, if it is created.")
    max_keys: int = Field(
        default=500_000, ge=1, description="Keys held in memory. Older ones are forgotten: they would be sent again."
    )
    max_lag: int = Field(default=100_000, ge=1, description="Requests are refused while more are unanswered.")
    max_delay_s: float = Field(
        default=60, gt=0, description="Requests are refused while lag / rate is longer than this, in seconds."
    )
    max_waiting: int = Field(default=10_000, ge=1, description="Requests of this gateway that may wait for answers.")
    max_buffered_bytes: int = Field(
        default=64 * 1024 * 1024, ge=1, description="Payloads that the brokers have not acknowledged."
    )
    max_kept_bytes: int = Field(default=64 * 1024 * 1024, ge=1, description="Answers kept in memory.")
    max_live_readers: int = Field(default=100, ge=1, description="Readers of live results at once.")
    live_queue: int = Field(default=1000, ge=1, description="Answers that wait for a live reader.")
    max_searches: int = Field(default=4, ge=1, description="Searches of the log at once.")
