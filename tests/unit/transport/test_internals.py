"""The inside of the Kafka client is looked at before it is relied on."""

from __future__ import annotations

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.producer.sender import Sender

from transport.errors import FatalError
from transport.internals import USED_PARTS, PrivatePart, check_client


def test_the_pinned_client_is_as_expected() -> None:
    check_client()


@pytest.mark.parametrize("part", USED_PARTS, ids=lambda part: f"{part.owner.__name__}.{part.name}")
def test_each_part_is_missed_if_it_has_another_name(part: PrivatePart) -> None:
    renamed = part._replace(name=f"{part.name}_renamed")
    with pytest.raises(
        FatalError, match=rf"^aiokafka \S+ is not the client .* {part.owner.__name__}\.{part.method or ''}"
    ):
        check_client((renamed,))


def test_a_method_that_is_gone_is_missed() -> None:
    with pytest.raises(FatalError, match=r"AIOKafkaConsumer\.begin: install"):
        check_client((PrivatePart(AIOKafkaConsumer, "_fetcher", "begin"),))


def test_a_local_variable_that_became_an_attribute_is_missed() -> None:
    with pytest.raises(FatalError, match=r"Sender\._sender_routine"):
        check_client((PrivatePart(Sender, "_sender_task", "_sender_routine", is_local=True),))
