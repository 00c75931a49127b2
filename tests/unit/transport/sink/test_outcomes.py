"""What may become of a transaction."""

from __future__ import annotations

from aiokafka import TopicPartition

from transport.protocol.error_codes import error_for
from transport.sink.outcomes import NotCommitted, OutcomeUnknown, PartitionsUnavailable


def test_unavailable_partitions_are_named_and_mean_not_committed() -> None:
    partitions = {TopicPartition("a", 0): error_for(19), TopicPartition("b", 7): error_for(6)}
    error = PartitionsUnavailable(partitions)
    assert error.partitions == partitions
    assert str(error).startswith("a/0: [Error 19] NotEnoughReplicasError")
    assert "b/7: [Error 6] NotLeaderForPartitionError" in str(error)
    assert isinstance(error, NotCommitted)
    assert not issubclass(OutcomeUnknown, NotCommitted)
