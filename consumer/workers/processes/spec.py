"""What every worker process is started with."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from consumer.settings import RECEIVED_SHARE, Settings
from consumer.workers.processes.pinned_model import PinnedModel
from consumer.workers.protocol import Rules


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """The parameters of every worker process."""

    model: PinnedModel
    rules: Rules
    memory_bytes: int
    item_timeout_s: float
    challenger: PinnedModel | None = None

    @classmethod
    def of(cls, settings: Settings, model: PinnedModel, challenger: PinnedModel | None = None) -> WorkerSpec:
        """Build it from the settings of the service."""
        return cls(model, rules_of(settings), settings.worker_memory_bytes, settings.item_timeout_s, challenger)


def rules_of(settings: Settings) -> Rules:
    """Return by what workers answer records."""
    return Rules(
        asdict(settings.limits),
        **settings.echo.model_dump(),
        inflated_bytes=settings.worker_memory_bytes // RECEIVED_SHARE,
        record_timeout_s=settings.record_timeout_s,
        reports_failed_items=settings.log.level == "debug",
        reports_sampled=settings.tracing.records_per_s > 0,
        sender_header=settings.drift.sender_header,
        challenger_share=settings.challenger_share,
        reports_disputed=bool(settings.topics.disagreements),
    )
