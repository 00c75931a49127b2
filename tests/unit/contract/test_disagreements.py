"""The headers of a disagreement."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from contract.disagreements import Disagreement, InvalidDisagreementError
from contract.topics import TopicFound, TopicSettings, misfits
from tests.harness.disagreements import disagreement


@pytest.mark.parametrize("name", [None, "a/ü.png"])
def test_headers_are_read_as_they_were_written(name: str | None) -> None:
    written = disagreement(name=name)
    assert Disagreement.read(written.headers()) == written


@pytest.mark.parametrize(
    ("header", "value", "named"),
    [
        ("challenger", None, "header challenger is missing"),
        ("champion", b"{}", "status: Field required"),
        ("origin-offset", b"x", "invalid literal"),
        ("origin-partition", b"-1", "partition: Input should be greater"),
        ("request-id", b"\xff", "a header cannot be parsed"),
    ],
)
def test_what_is_no_disagreement_is_refused_by_name(header: str, value: bytes | None, named: str) -> None:
    given = [(name, old) for name, old in disagreement().headers() if name != header]
    given += [] if value is None else [(header, value)]
    with pytest.raises(InvalidDisagreementError, match=named):
        Disagreement.read(given)


def test_the_topic_of_disagreements_is_one_more_only_where_it_is_named() -> None:
    without, named = TopicSettings(), TopicSettings(disagreements="disputed")
    assert "disagreements" not in without.by_role
    assert named.creation_configs().keys() - without.creation_configs().keys() == {"disputed"}
    with pytest.raises(ValidationError, match="need different topics"):
        TopicSettings(disagreements="digits.requests")


def test_the_topic_of_disagreements_may_have_any_number_of_partitions_and_must_take_a_picture() -> None:
    named = TopicSettings(disagreements="disputed")
    found = {
        name: TopicFound(1 if name == "disputed" else 8, 1, config) for name, config in named.creation_configs().items()
    }
    assert list(misfits(named, found, record_bytes=16 * 1024 * 1024)) == []
    small = {"disputed": TopicFound(1, 1, {"max.message.bytes": "1048588"})}
    (misfit,) = misfits(named, small, record_bytes=16 * 1024 * 1024)
    assert (misfit.topic, misfit.setting) == ("disputed", "max.message.bytes")
