"""The ids of requests, as clients know them and on the topics."""

from __future__ import annotations

import uuid

import pytest

from producer.web.gateway.ids import MOMENT_MS, WireId, made_at_ms, new_request_id, parse_wire_id, tenant_tag
from tests.harness.gateway_records import wire_id


@pytest.mark.parametrize("request_id", ["order-7", "a.b.c", "k.", "http.x.k.y"])
def test_an_id_on_the_topics_has_all_that_went_into_it(request_id: str) -> None:
    for once in (True, False):
        sent = WireId(tenant_tag("anna"), request_id, once)
        assert parse_wire_id(str(sent).encode()) == sent


@pytest.mark.parametrize("value", [None, b"", b"order-7", b"http.", b"http.tag.x.id", b"http.tag", b"http.\xff.k"])
def test_the_ids_of_other_senders_are_not_taken_for_ours(value: bytes | None) -> None:
    assert parse_wire_id(value) is None


def test_two_tenants_may_use_one_key() -> None:
    assert str(wire_id("7", once=True)) != str(wire_id("7", once=True, tenant="bert"))
    assert "anna" not in str(wire_id("7"))


def test_a_key_is_never_taken_for_an_id_that_a_gateway_made() -> None:
    made = new_request_id()
    assert str(wire_id(made, once=True)) != str(wire_id(made))


def test_a_new_id_says_when_it_was_made() -> None:
    made = [new_request_id(now_ms=1_767_225_600_123) for _ in range(1_000)]
    assert {made_at_ms(each) for each in made} == {1_767_225_600_123}
    assert len(set(made)) == 1_000
    assert {(uuid.UUID(each).version, uuid.UUID(each).variant) for each in made} == {(7, uuid.RFC_4122)}


@pytest.mark.parametrize(
    "other",
    [
        "order-7",
        "",
        "06bf5697-a5a0-40b3-9f76-0f5494920845",
        "01A220B3-5AAA-7F1C-AED7-EFBEA7700DBD",
        "{01a220b3-5aaa-7f05-a993-d3498368a775}",
    ],
)
def test_other_ids_say_nothing_of_a_time(other: str) -> None:
    assert made_at_ms(other) is None


def test_keys_are_spread_evenly_over_partitions_and_stay_there() -> None:
    ids = [wire_id(str(number), once=True) for number in range(8_000)]
    found = [each.partition(8) for each in ids]
    assert all(900 < found.count(number) < 1_100 for number in range(8))
    assert found == [each.partition(8) for each in ids]


def test_requests_of_one_moment_share_a_partition_and_the_next_moment_has_the_next() -> None:
    made = [wire_id(new_request_id(now_ms=MOMENT_MS * 800 + ms)) for ms in range(MOMENT_MS * 9)]
    found = [each.partition(8) for each in made]
    assert found == [number for number in [*range(8), 0] for _ in range(MOMENT_MS)]


def test_an_id_that_no_gateway_made_has_a_partition_too() -> None:
    assert 0 <= wire_id("order-7").partition(8) < 8
