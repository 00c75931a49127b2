"""Settings under their old names are accepted for one release, and reported."""

from __future__ import annotations

import os

import pytest

from transport.settings.kafka import SettingsError
from transport.settings.old_names import take_old_names

RENAMED = {"DIGITS_OLD": "DIGITS_NEW", "DIGITS_GROUP__OLD": "DIGITS_GROUP__NEW"}


def test_a_setting_under_its_old_name_gets_its_new_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("digits_old", "7")
    monkeypatch.setenv("DIGITS_NEW", "")  # restored after the test
    monkeypatch.delenv("DIGITS_NEW")
    assert take_old_names(RENAMED) == {"DIGITS_OLD": "DIGITS_NEW"}
    assert os.environ["DIGITS_NEW"] == "7"
    assert "digits_old" not in os.environ


def test_without_old_names_nothing_changes() -> None:
    before = dict(os.environ)
    assert take_old_names(RENAMED) == {}
    assert dict(os.environ) == before


def test_a_setting_under_both_names_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIGITS_OLD", "7")
    monkeypatch.setenv("DIGITS_NEW", "8")
    with pytest.raises(SettingsError, match=r"^DIGITS_OLD: it is called DIGITS_NEW now, and that is set, too$"):
        take_old_names(RENAMED)
