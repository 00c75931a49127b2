"""What a broker understands is read from its answer, whose header is older than those of other answers."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pytest

from tests.harness.request_bytes import opened
from transport.protocol.transactions import init_producer_id
from transport.protocol.versions import api_versions, transaction_version


def test_a_request_for_versions_names_the_program() -> None:
    body = opened(api_versions(), 18, 3)
    assert body.struct(body.text, body.text) == ("digitstream", "1")
    body.end()


def test_the_answer_about_versions_has_an_old_header_and_the_others_a_flexible_one() -> None:
    flexible = bytes.fromhex("00000005 00")
    for request, header in ((api_versions(), flexible[:4]), (init_producer_id("id", 1), flexible)):
        read = BytesIO(header + b"rest")
        assert request.struct.parse_response_header(read).correlation_id == 5
        assert read.read() == b"rest"


def versions_answer(tags: bytes) -> Any:
    kind = api_versions().struct.RESPONSE_TYPE
    return kind.decode(BytesIO(bytes.fromhex("0000 02 0016 0000 0006 00 00000000") + tags))


FEATURES = "02 {:02x} 03 0a 67726f75702e6f6e65 0001 0000 00 14 7472616e73616374696f6e2e76657273696f6e {:04x} 0000 00"


@pytest.mark.parametrize("version", [0, 1, 2, 3])
def test_the_version_of_transactions_is_read_among_the_finalized_features(version: int) -> None:
    features = bytes.fromhex(FEATURES.format(41, version))
    # One feature that is supported (tag 0), the epoch of the features (1), and what is finalized (2).
    answer = versions_answer(bytes.fromhex("03 00 01 01 01 08 0000000000000007") + features)
    assert transaction_version(answer) == version


@pytest.mark.parametrize("tags", [b"\0", bytes.fromhex("01 02 01 01"), bytes.fromhex("01 02 01 00")])
def test_a_broker_that_says_nothing_of_transactions_has_version_0(tags: bytes) -> None:
    assert transaction_version(versions_answer(tags)) == 0
