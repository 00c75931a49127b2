"""The bytes that are not acknowledged."""

from __future__ import annotations

import pytest

from producer.web.gateway.interface import BusyError
from producer.web.gateway.sender import Buffer


def test_bytes_beyond_the_limit_are_refused_until_others_are_acknowledged() -> None:
    buffer = Buffer(100)
    with buffer.holding(60):
        buffer.check(40)
        with pytest.raises(BusyError), buffer.holding(41):
            pytest.fail("there was no room")
        assert buffer.size_bytes == 60
    assert buffer.size_bytes == 0


def test_a_payload_that_is_larger_than_the_limit_is_taken_alone() -> None:
    buffer = Buffer(100)
    with buffer.holding(1_000), pytest.raises(BusyError):
        buffer.check(1)
