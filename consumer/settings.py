"""Settings of the service, ``DIGITS_…``. docs/settings.md is generated from this module."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_settings import SettingsConfigDict

from contract.headers import ECHOED_BYTES
from engine.limits import Limits
from engine.model.files import ModelError
from engine.registry.cache import default_cache
from engine.registry.location import check_url
from models import default_model
from transport.batches.layout import MAX_HEADERS
from transport.record_batch import OWN_HEADERS
from transport.security.sasl import Optional
from transport.settings.kafka import GroupKafkaSettings, GroupSettings
from transport.settings.logs import LogSettings
from transport.settings.reports import ReportSettings

RECEIVED_SHARE: Final = 4
"""A worker receives at most 1/4 of its memory at once. Two copies of the bytes exist while they are received, and
decoding the images needs memory as well."""
DAY_S: Final = 86_400
MIB: Final = 1024 * 1024
GIB: Final = 1024 * MIB


RENAMED: Final = {"DIGITS_DRAIN_S": "DIGITS_SHUTDOWN_TIMEOUT_S"}
"""Settings whose old names are accepted for one more release."""
REMOVED: Final = (
    "DIGITS_PACING__TRANSACTIONS_PER_S",
    "DIGITS_PACING__CATCH_UP_INTERVAL_MS",
    "DIGITS_PACING__BEHIND_INTERVAL_MS",  # codespell:ignore behind
)
"""Settings without effect since one transaction serves all partitions; they are accepted for one more release."""


class OnLostOffset(StrEnum):
    """What a lane does if the committed offset is no longer in the log."""

    PARK = "park"
    EARLIEST = "earliest"
    FAIL = "fail"
    """Before 1.0 this ended the service. It is accepted as `PARK` for one more release, with a warning."""


class AutoOffsetReset(StrEnum):
    """Where a partition starts if the group has no committed offset in it."""

    AFTER_RESULTS = "after-results"
    EARLIEST = "earliest"
    LATEST = "latest"
    NONE = "none"


class ServiceKafkaSettings(GroupKafkaSettings):
    """``DIGITS_KAFKA__…``: the connection, the membership in the group, and where to start."""

    on_lost_offset: OnLostOffset = Field(
        default=OnLostOffset.PARK,
        description="What a lane does if the committed offset is no longer in the log. park: process nothing of the "
        "partition and report it as not ready until the group's offset is repaired; all other partitions continue. "
        "earliest: continue at the start of the log.",
    )
    auto_offset_reset: AutoOffsetReset = Field(
        default=AutoOffsetReset.AFTER_RESULTS,
        description="Where a partition starts if the group has no committed offset in it. after-results: after the "
        "last request that has results in the predictions topic, or at the start of the log if there are no results. "
        "earliest: at the start of the log; every request in it is answered again. latest: at the end of the log; no "
        "request in it is answered. none: the partition is parked until the group has an offset.",
    )
    wait_s: float = Field(
        default=60, gt=0, le=DAY_S, description="How long the service tries to reach the brokers when it starts."
    )


class HealthSettings(BaseModel):
    """``DIGITS_HEALTH__…``: where the health server listens."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = Field(default="127.0.0.1", description="Address of the health server.")
    port: int = Field(default=8080, ge=0, le=65535, description="Port of the health server; 0: any free port.")


class TracingSettings(BaseModel):
    """``DIGITS_TRACING__…``: OpenTelemetry. The variables ``OTEL_…`` set where the traces are sent."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    records_per_s: float = Field(
        default=0,
        ge=0,
        le=1_000,
        description="Most records traced per second, among those that their senders sampled; 0: tracing is off.",
    )


class DriftSettings(BaseModel):
    """``DIGITS_DRIFT__…``: how readings are compared with what the model expects."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    window: int = Field(
        default=10_000,
        ge=2_000,
        le=10_000_000,
        description="Number of the last readings that are compared with the model's reference, about: older ones count "
        "less and less.",
    )
    sender_header: str = Field(
        default="",
        max_length=249,
        description="Header of a request that names its sender; readings are then also compared for each sender. "
        "Empty: only all together.",
    )
    senders: int = Field(
        default=20,
        ge=1,
        le=1_000,
        description="Most senders that are compared, on each instance; all further ones are compared together.",
    )


class PacingSettings(BaseModel):
    """``DIGITS_PACING__…``: how records are grouped into chunks and transactions."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    transaction_bytes: int = Field(
        default=4 * 1024 * 1024,
        ge=1024,
        le=GIB,
        description="Most bytes of results and dead letters of a partition in one transaction. A single record may "
        "have more.",
    )
    chunk_records: int = Field(
        default=256,
        ge=1,
        le=10_000,
        description="Most records that a worker receives at once. A batch with more records is sent alone.",
    )
    chunk_bytes: int = Field(
        default=4 * 1024 * 1024,
        ge=1024,
        le=GIB,
        description="Most bytes that a worker receives at once. A larger batch is sent alone.",
    )


class EchoSettings(BaseModel):
    """``DIGITS_ECHO__…``: limits for what is copied from a request, for each result and in total."""

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
        description="Most bytes of all results of an archive, including keys and headers. Each result is counted with "
        "the largest size that it can have. An archive above the limit is answered with one failed result.",
    )
    dead_letters_bytes: int = Field(
        default=32 * 1024 * 1024,
        ge=64 * 1024,
        le=GIB,
        description="Most bytes of all dead letters of a record. Dead letters above the limit contain neither the "
        "item's bytes nor the request's headers.",
    )


def _location(text: str) -> str:
    """Refuse a URL that may have a secret in it before it is shown anywhere."""
    try:
        check_url(text)
    except ModelError as error:
        raise ValueError(str(error)) from error
    return text


class Settings(ReportSettings, GroupSettings):
    """All settings of ``digit-consumer run``."""

    model_config = SettingsConfigDict(extra="forbid")

    kafka: ServiceKafkaSettings = ServiceKafkaSettings()
    health: HealthSettings = HealthSettings()
    log: LogSettings = LogSettings()
    tracing: TracingSettings = TracingSettings()
    drift: DriftSettings = DriftSettings()
    pacing: PacingSettings = PacingSettings()
    echo: EchoSettings = EchoSettings()
    limits: Limits = Limits()
    model: Annotated[str, AfterValidator(_location)] = Field(
        default_factory=lambda: str(default_model()),
        min_length=1,
        description="The model to serve: a folder, a zip archive, the URL of either (s3://, gs://, az://, https://), "
        "or STORE/NAME@VERSION or STORE/NAME@ALIAS in a registry; by default the shipped model. URLs and registries "
        "need the extra stores.",
    )
    model_sha256: Optional[Annotated[str, Field(pattern="^[0-9a-f]{64}$")]] = Field(
        default=None,
        description="If set, a model is refused unless the sha256 of its manifest.json is this one. The manifest holds "
        "the sha256 of the arrays, so it stands for the whole model.",
    )
    model_cache: Path = Field(
        default_factory=default_cache,
        description="Folder that keeps the models that came from a store, for starts while the store cannot be "
        "reached; by default digitstream/models in the user's cache folder.",
    )
    model_timeout_s: float = Field(
        default=30,
        gt=0,
        le=3_600,
        description="How long the service tries to fetch the model when it starts; it answers no probe meanwhile.",
    )
    model_poll_s: float = Field(
        default=60,
        ge=0,
        le=DAY_S,
        description="How often the service looks whether the alias in DIGITS_MODEL names another model, on the mean. "
        "0: only after SIGHUP.",
    )
    model_golden: Path | None = Field(
        default=None,
        description="Zip archive of pictures LABEL/NAME, which another model must read before it takes the place of "
        "the present one; by default 500 drawn digits.",
    )
    model_golden_margin: float = Field(
        default=0.01,
        ge=0,
        le=1,
        description="The share of these pictures that another model may misread beyond those that the present one "
        "misreads.",
    )
    model_probation_s: float = Field(
        default=300,
        ge=0,
        le=DAY_S,
        description="How long another model is watched after it has begun to serve: the instance returns to the one "
        "before if more answers are unsure or failed, and other instances wait for the end. 0: no return, no waiting.",
    )
    model_return_margin: float = Field(
        default=0.02,
        ge=0,
        le=1,
        description="By how much the share of unsure or failed answers may rise meanwhile. A rise that chance can "
        "explain does not count. 1: no return.",
    )
    challenger: Optional[Annotated[str, AfterValidator(_location)]] = Field(
        default=None,
        description="Another model, named as in DIGITS_MODEL, that workers read a share of the same pictures with, "
        "after they have answered and while they have nothing else to do. It is fetched when the service starts; if it "
        "cannot be used, the service runs without it.",
    )
    challenger_sha256: Optional[Annotated[str, Field(pattern="^[0-9a-f]{64}$")]] = Field(
        default=None, description="As DIGITS_MODEL_SHA256, for the challenger."
    )
    challenger_share: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="The share of the pictures that the challenger reads, at most. The place of a picture decides "
        "whether it is one of them.",
    )
    workers: int = Field(default=2, ge=1, le=256, description="Worker processes; one per core is recommended.")
    in_flight_bytes: int = Field(
        default=64 * 1024 * 1024,
        ge=1024,
        le=64 * GIB,
        description="Most bytes of records in flight: fetched, and not yet committed.",
    )
    item_timeout_s: float = Field(
        default=10, gt=0, le=3_600, description="A worker that spends more time on one item is killed."
    )
    record_timeout_s: float = Field(
        default=120,
        gt=0,
        le=DAY_S,
        description="Most processor time for one record. The items of an archive that are not read by then are "
        "answered as failed.",
    )
    worker_memory_bytes: int = Field(
        default=280 * 1024 * 1024,
        ge=64 * 1024 * 1024,
        le=4 * GIB,
        description="Address space that a worker may use in addition to its size after warm-up. Large images use "
        "200 MB.",
    )
    shutdown_timeout_s: float = Field(
        default=20,
        gt=0,
        le=3_600,
        description="Time after SIGTERM to publish what is in flight. If brokers hang, the shutdown takes up to "
        "30 s longer.",
    )
    service_faults: int = Field(
        default=10,
        ge=1,
        le=1_000,
        description="After this number of consecutive items that crash or hang a worker, a known digit is tried. If "
        "the known digit fails too, the service ends.",
    )

    @model_validator(mode="after")
    def _a_record_fits_into_a_worker(self) -> Settings:
        # Two copies of a record exist while it is received. A worker that runs out of memory while it receives a record
        # cannot report which record it was.
        most_bytes = self.worker_memory_bytes // RECEIVED_SHARE
        at_once = {"limits.record_bytes": self.limits.record_bytes, "pacing.chunk_bytes": self.pacing.chunk_bytes}
        for name, size_bytes in at_once.items():
            if size_bytes > most_bytes:
                raise ValueError(f"{name} must not be above 1/{RECEIVED_SHARE} of worker_memory_bytes: {most_bytes:,}")
        return self
