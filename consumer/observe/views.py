"""What health reads of lanes, of the assignment and of the workers, and nothing else."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from aiokafka import TopicPartition

from consumer.partitions.state import OffsetLost
from consumer.workers.processes.pinned_model import PinnedModel
from consumer.workers.protocol import Compiling
from engine.model.files import ModelInfo
from transport.reading.log_ends import LogEnds


class LaneView(Protocol):
    """What health reads of a lane."""

    @property
    def partition(self) -> TopicPartition: ...  # noqa: D102  # as in consumer.partitions.lane, all of them
    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def started(self) -> bool: ...  # noqa: D102
    @property
    def records_in_flight(self) -> int: ...  # noqa: D102
    @property
    def bytes_in_flight(self) -> int: ...  # noqa: D102
    @property
    def readable_records(self) -> int: ...  # noqa: D102
    @property
    def oldest_at_ms(self) -> int | None: ...  # noqa: D102
    @property
    def waits_for_brokers(self) -> bool: ...  # noqa: D102
    @property
    def progressed_at_s(self) -> float: ...  # noqa: D102
    @property
    def parked(self) -> OffsetLost | None: ...  # noqa: D102
    @property
    def committed_offset(self) -> int | None: ...  # noqa: D102
    @property
    def committed_at_ms(self) -> int | None: ...  # noqa: D102
    @property
    def ends(self) -> LogEnds | None: ...  # noqa: D102


class AssignmentView(Protocol):
    """What health reads of the assignment."""

    @property
    def lanes(self) -> Mapping[TopicPartition, LaneView]: ...  # noqa: D102  # as in consumer.partitions.assignment
    @property
    def joined(self) -> bool: ...  # noqa: D102
    @property
    def silent_s(self) -> float: ...  # noqa: D102


class RefusalView(Protocol):
    """What health reads of a model that was refused."""

    @property
    def name(self) -> str: ...  # noqa: D102  # as in consumer.exchange.exchanger
    @property
    def version(self) -> str: ...  # noqa: D102
    @property
    def manifest_sha256(self) -> str: ...  # noqa: D102
    @property
    def why(self) -> str: ...  # noqa: D102


class ExchangerView(Protocol):
    """What health reads of the exchange of models."""

    @property
    def refused(self) -> RefusalView | None: ...  # noqa: D102  # as in consumer.exchange.exchanger
    @property
    def problem(self) -> str: ...  # noqa: D102
    @property
    def waits(self) -> str: ...  # noqa: D102
    @property
    def on_probation(self) -> bool: ...  # noqa: D102


class WorkersView(Protocol):
    """What health reads of the worker pool."""

    @property
    def running(self) -> int: ...  # noqa: D102  # as in consumer.workers.pool
    @property
    def pids(self) -> Collection[int]: ...  # noqa: D102
    @property
    def compiling(self) -> Compiling | None: ...  # noqa: D102
    @property
    def model(self) -> ModelInfo: ...  # noqa: D102
    @property
    def challenger(self) -> ModelInfo | None: ...  # noqa: D102
    @property
    def challenger_problem(self) -> str: ...  # noqa: D102

    def progressed_at_s(self, partition: int) -> float: ...  # noqa: D102


class ServingView(Protocol):
    """What the comparison of readings reads of the worker pool."""

    @property
    def pinned(self) -> PinnedModel: ...  # noqa: D102  # as in consumer.workers.pool
