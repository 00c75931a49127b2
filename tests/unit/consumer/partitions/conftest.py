"""Pauses that are short enough for tests."""

from __future__ import annotations

import pytest

from consumer.partitions import offers


@pytest.fixture
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offers, "RETRY_PAUSES_S", (0.001, 0.002))
