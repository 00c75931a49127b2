"""The requests for the states of transactions have the bytes of the protocol guide."""

from __future__ import annotations

from tests.harness.request_bytes import opened
from transport.protocol.transaction_states import describe_transactions


def test_a_request_for_the_state_of_transactions_names_their_ids() -> None:
    body = opened(describe_transactions(["one", "two"]), 65, 0)
    assert body.struct(lambda: body.array(body.text)) == (["one", "two"],)
    body.end()
