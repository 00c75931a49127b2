"""The reader finds what a faulty service would publish. Without this, a clean run would prove nothing."""

from __future__ import annotations

from aiokafka import ConsumerRecord

from tests.chaos.predictions_reader import Reader
from tests.harness.topics import Position
from transport.settings.kafka import KafkaSettings


def shown(*results: tuple[int, int, int]) -> Reader:
    """Show a reader results of partition 0, each the offset, index and count of its request's image."""
    reader = Reader(KafkaSettings(), "predictions", 1)
    for offset, index, count in results:
        reader._take(_record(offset, index, count))
    return reader


def _record(offset: int, index: int, count: int) -> ConsumerRecord:
    value = (
        f'{{"request_id": "r", "source": {{"partition": 0, "offset": {offset}}}, '
        f'"item": {{"index": {index}, "count": {count}}}, "error": null}}'
    )
    return ConsumerRecord("predictions", 0, 0, 0, 0, None, value.encode(), None, 0, len(value), ())


def test_gaps_between_offsets_of_results_are_no_fault() -> None:
    reader = shown((0, 0, 1), (1, 0, 2), (1, 1, 2), (7, 0, 1))
    assert (reader.faults, reader.whole, reader.results) == (0, 3, 4)
    assert reader.answers[Position(0, 1)].codes == [None, None]
    assert reader.answered_in_full() == {"r"}


def test_a_result_that_comes_twice_is_found() -> None:
    assert shown((0, 0, 1), (0, 0, 1)).faults == 1


def test_a_result_after_a_later_one_is_found() -> None:
    assert shown((0, 0, 1), (2, 0, 1), (1, 0, 1)).offenders == ["0/(1, 0) comes after (2, 0): doubled or out of order"]


def test_a_missing_item_of_a_request_is_found() -> None:
    reader = shown((0, 0, 3), (0, 2, 3))
    assert (reader.faults, reader.whole) == (1, 0)


def test_the_first_result_after_a_moment_is_the_next_one_of_its_partition() -> None:
    reader = shown()
    reader.seen_at_s[0] = [(1.0, 5), (2.0, 1)]
    assert [reader.first_after(0, at_s) for at_s in (0.5, 1.0, 2.0)] == [1.0, 2.0, None]
