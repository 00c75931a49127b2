"""Settings of the service: ``DIGITS_…``; docs/settings.md is made from this module."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_settings import SettingsConfigDict

from contract.headers import ECHOED_BYTES
from engine.limits import Limits
from models import default_model
from transport.record_batch import MAX_HEADERS, OWN_HEADERS
from transport.settings.kafka import GroupKafkaSettings, GroupSettings

RECEIVED_SHARE: Final = 4
"""A worker takes at once at most this part of its memory: while received, the bytes are there twice, and its images
need memory, too."""
DAY_S: Final = 86_400
MIB: Final = 1024 * 1024
GIB: Final = 1024 * MIB


RENAMED: Final = {
    "DIGITS_DRAIN_S": "DIGITS_SHUTDOWN_TIMEOUT_S",
    "DIGITS_PACING__BEHIND_INTERVAL_MS": "DIGITS_PACING__CATCH_UP_INTERVAL_MS",  # codespell:ignore behind
}
"""Settings whose old names are accepted for one more release."""


class OnLostOffset(StrEnum):
    """What to do where the committed offset is no longer in the log."""

    PARK = "park"
    EARLIEST = "earliest"
    FAIL = "fail"
    """Until 1.0 it ended the service. It is accepted for one more release, with a warning, as `PARK`."""


class AutoOffsetReset(StrEnum):
    """Where a partition starts if the group has no offset in it."""

    AFTER_RESULTS = "after-results"
    EARLIEST = "earliest"
    LATEST = "latest"
    NONE = "none"


class ServiceKafkaSettings(GroupKafkaSettings):
    """``DIGITS_KAFKA__…``: the connection, the membership in the group, and where to start."""

    on_lost_offset: OnLostOffset = Field(
        default=OnLostOffset.PARK,
        description="park: leave the partition alone and not ready until the group's offset is repaired, while all "
        "others go on; earliest: go on at the start of the log.",
    )
    auto_offset_reset: AutoOffsetReset = Field(
        default=AutoOffsetReset.AFTER_RESULTS,
        description="Where a partition starts if the group has no offset in it. after-results: after the last request "
        "whose results are in the predictions topic, at the start of the log if there are none; earliest: at the start "
        "of the log, so that all of it is answered again; latest: at its end, so that nothing of it is answered; none: "
        "it is parked until the group has an offset.",
    )
    wait_s: float = Field(
        default=60, gt=0, le=DAY_S, description="How long to keep trying to reach the brokers at the start."
    )


class HealthSettings(BaseModel):
    """``DIGITS_HEALTH__…``: where the health server listens."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = Field(default="127.0.0.1", description="Address of the health server.")
    port: int = Field(default=8080, ge=0, le=65535, description="Port of the health server; 0 takes a free one.")


class LogFormat(StrEnum):
    """How log lines look."""

    CONSOLE = "console"
    JSON = "json"


class LogSettings(BaseModel):
    """``DIGITS_LOG__…``: one line an event."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: LogFormat = Field(default=LogFormat.CONSOLE, description="console for people, json for machines.")
    level: Annotated[str, Field(pattern="^(debug|info|warning|error)$")] = Field(
        default="info", description="debug, info, warning or error."
    )


class TracingSettings(BaseModel):
    """``DIGITS_TRACING__…``: OpenTelemetry; where the traces go, the variables ``OTEL_…`` say."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    records_per_s: float = Field(
        default=0,
        ge=0,
        le=1_000,
        description="Records traced a second, at most, of those that their senders sampled; 0: tracing is off.",
    )


class PacingSettings(BaseModel):
    """``DIGITS_PACING__…``: how records become transactions."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    transactions_per_s: float = Field(
        default=200,
        ge=1,
        le=10_000,
        description="Ceiling for the whole instance; above it each lane's interval stretches.",
    )
    catch_up_interval_ms: float = Field(
        default=100,
        ge=0,
        le=10_000,
        description="Pause between transactions of a lane that is catching up: larger ones, fewer.",
    )
    transaction_bytes: int = Field(
        default=4 * 1024 * 1024,
        ge=1024,
        le=GIB,
        description="Bytes of requests and answers that one transaction holds; one record may be more.",
    )
    chunk_records: int = Field(
        default=256, ge=1, le=10_000, description="Records that a worker takes at once, at most."
    )
    chunk_bytes: int = Field(
        default=4 * 1024 * 1024,
        ge=1024,
        le=GIB,
        description="Bytes that a worker takes at once; a larger record goes alone.",
    )


class EchoSettings(BaseModel):
    """``DIGITS_ECHO__…``: what of a request may come back, with each result and in all."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key_bytes: int = Field(default=4096, ge=0, le=MIB, description="A record with a longer key is answered as failed.")
    header_bytes: int = Field(
        default=ECHOED_BYTES,
        ge=0,
        le=MIB,
        description="A record with a longer echoed header or file name is answered as failed.",
    )
    headers: int = Field(
        default=1_000,
        ge=0,
        le=MAX_HEADERS - OWN_HEADERS,
        description="A record with more headers is answered as failed.",
    )
    results_bytes: int = Field(
        default=16 * 1024 * 1024,
        ge=64 * 1024,
        le=GIB,
        description="Bytes of all results of an archive, keys and headers included, each counted at its largest; "
        "beyond, the archive is answered as one failed.",
    )
    dead_letters_bytes: int = Field(
        default=32 * 1024 * 1024,
        ge=64 * 1024,
        le=GIB,
        description="Bytes of all dead letters of a record; beyond, they have neither the item's bytes nor the "
        "request's headers.",
    )


class Settings(GroupSettings):
    """All settings of ``digit-consumer run``."""

    model_config = SettingsConfigDict(extra="forbid")

    kafka: ServiceKafkaSettings = ServiceKafkaSettings()
    health: HealthSettings = HealthSettings()
    log: LogSettings = LogSettings()
    tracing: TracingSettings = TracingSettings()
    pacing: PacingSettings = PacingSettings()
    echo: EchoSettings = EchoSettings()
    limits: Limits = Limits()
    model: Path = Field(
        default_factory=default_model,
        description="Directory of the model to serve; by default the one that is shipped.",
    )
    workers: int = Field(default=2, ge=1, le=256, description="Worker processes; one a core is right.")
    in_flight_bytes: int = Field(
        default=64 * 1024 * 1024,
        ge=1024,
        le=64 * GIB,
        description="Bytes of records in flight: fetched and not yet answered.",
    )
    item_timeout_s: float = Field(
        default=10, gt=0, le=3_600, description="A worker that is longer on one item is killed."
    )
    record_timeout_s: float = Field(
        default=120,
        gt=0,
        le=DAY_S,
        description="Of a worker's processor time: what an archive has not come to by then is answered as failed.",
    )
    worker_memory_bytes: int = Field(
        default=280 * 1024 * 1024,
        ge=64 * 1024 * 1024,
        le=4 * GIB,
        description="Address space that a worker may take beyond its size after warm-up; large images take 200 MB.",
    )
    shutdown_timeout_s: float = Field(
        default=20,
        gt=0,
        le=3_600,
        description="Time after SIGTERM to publish what is in flight; where brokers hang, the end takes 27 s longer.",
    )
    service_faults: int = Field(
        default=10,
        ge=1,
        le=1_000,
        description="Items in a row that crash or hang a worker before a known digit is tried: if that is not read "
        "either, the service ends.",
    )

    @model_validator(mode="after")
    def _a_record_fits_into_a_worker(self) -> Settings:
        # It is there twice while it is received. A worker that cannot even take a record could not say whose it was.
        most_bytes = self.worker_memory_bytes // RECEIVED_SHARE
        at_once = {"limits.record_bytes": self.limits.record_bytes, "pacing.chunk_bytes": self.pacing.chunk_bytes}
        for name, size_bytes in at_once.items():
            if size_bytes > most_bytes:
                raise ValueError(f"{name} must not be above 1/{RECEIVED_SHARE} of worker_memory_bytes: {most_bytes:,}")
        return self
