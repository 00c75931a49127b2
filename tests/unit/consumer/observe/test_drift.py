"""Drift: readings against the model's reference, by sender, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec
import pytest
from aiokafka import TopicPartition
from structlog.testing import capture_logs

from consumer.observe.drift import FEWEST, FORGOTTEN_S, Drift
from consumer.observe.drift_gauges import families, report
from consumer.partitions.in_flight import ReadyPart
from consumer.partitions.observers import Publication
from consumer.settings import DriftSettings
from consumer.workers.processes.pinned_model import PinnedModel
from consumer.workers.tasks import OTHERS, Part
from engine.model.files import ModelFiles
from engine.model.reference import FIELD, psi, reference_of
from models import default_model
from tests.harness.models import version_of

WINDOW = 2_000
BY_SENDER = DriftSettings(window=WINDOW, sender_header="sender", senders=2)
REFERENCE = reference_of(ModelFiles.read(default_model()).manifest)
assert REFERENCE is not None
EXPECTED = [count / sum(REFERENCE.digits) for counts in REFERENCE.counts.values() for count in counts]


@dataclass
class Workers:
    """What drift reads of the worker pool."""

    pinned: PinnedModel


class Clock:
    """A clock that a test sets."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def model() -> Iterator[PinnedModel]:
    pinned = PinnedModel.of(ModelFiles.read(default_model()), "shipped")
    yield pinned
    pinned.close()


@pytest.fixture
def other() -> Iterator[PinnedModel]:
    pinned = PinnedModel.of(version_of("2"), "other")
    yield pinned
    pinned.close()


def as_expected(readings: int) -> list[int]:
    """Give counts with the shares of the reference."""
    return [round(readings * share) for share in EXPECTED]


def only(digit: int, readings: int) -> list[int]:
    """Give the counts of one digit, in the first bin of all else."""
    counts = [0] * len(EXPECTED)
    counts[digit] = counts[11] = counts[21] = readings
    return counts


def published(model: PinnedModel, **by_sender: list[int]) -> Publication:
    part = Part(1, [], model=model.manifest_sha256, readings=dict(by_sender))
    return Publication(TopicPartition("requests", 0), [ReadyPart(part, 0, 0, 0)])


def shown(drift: Drift) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *sample.labels.values()): sample.value for family in families(drift) for sample in family.samples
    }


def test_readings_as_in_the_reference_have_no_drift(model: PinnedModel) -> None:
    drift = Drift(Workers(model), DriftSettings())
    drift.committed(published(model, other=as_expected(5_000)))
    reported = report(drift)
    assert reported is not None
    assert reported["readings"] == pytest.approx(5_000, abs=5)
    assert max(reported["digits"], reported["confidence"], reported["digitness"]) < 0.001


def test_readings_of_one_digit_have_the_index_of_the_definition(model: PinnedModel) -> None:
    drift = Drift(Workers(model), DriftSettings())
    drift.committed(published(model, other=only(7, 2_000)))
    assert REFERENCE is not None
    found = [0] * 11
    found[7] = 2_000
    assert shown(drift)["digits_drift_psi", "digits", ""] == pytest.approx(psi(REFERENCE.digits, found))
    assert shown(drift)["digits_drift_psi", "digits", ""] > 0.25
    assert shown(drift)["digits_drift_share", "digits", "7", "readings"] == pytest.approx(1, abs=0.01)
    assert shown(drift)["digits_drift_share", "digits", "7", "reference"] == pytest.approx(0.1082, abs=0.001)


def test_nothing_is_said_of_few_readings(model: PinnedModel) -> None:
    drift = Drift(Workers(model), DriftSettings())
    drift.committed(published(model, other=only(7, FEWEST - 1)))
    assert report(drift) == {"readings": FEWEST - 1}
    assert not [name for name, *_ in shown(drift) if name != "digits_drift_readings"]


def test_old_readings_fade(model: PinnedModel) -> None:
    drift = Drift(Workers(model), DriftSettings(window=WINDOW))
    for _ in range(100):
        drift.committed(published(model, other=only(7, 250)))
    assert shown(drift)["digits_drift_psi", "digits", ""] > 0.25
    for _ in range(100):
        drift.committed(published(model, other=as_expected(250)))
    assert shown(drift)["digits_drift_psi", "digits", ""] < 0.01
    reported = report(drift)
    assert reported is not None
    assert WINDOW * 0.8 < reported["readings"] < WINDOW * 1.6


def test_a_sender_that_sends_otherwise_is_found_among_many(model: PinnedModel) -> None:
    drift = Drift(Workers(model), BY_SENDER)
    for _ in range(10):
        drift.committed(published(model, north=only(7, 120), south=as_expected(5_000)))
    found = shown(drift)
    assert found["digits_drift_psi", "digits", "north"] > 0.25 > found["digits_drift_psi", "digits", "south"]
    assert found["digits_drift_psi", "digits", ""] < 0.1


def test_without_a_header_only_all_senders_together_are_compared(model: PinnedModel) -> None:
    drift = Drift(Workers(model), DriftSettings())
    drift.committed(published(model, north=only(7, 1_500)))
    assert {sender for name, *_, sender in shown(drift) if name == "digits_drift_psi"} == {""}


def test_senders_beyond_the_limit_are_compared_together(model: PinnedModel) -> None:
    drift = Drift(Workers(model), BY_SENDER)
    for number in range(1_000):
        drift.committed(published(model, **{f"sender-{number}": only(7, 1)}))
    assert set(drift.senders) == {"sender-0", "sender-1", OTHERS}
    assert drift.senders[OTHERS].readings == pytest.approx(WINDOW * 0.4, rel=0.1)


def test_a_sender_that_is_silent_for_a_day_is_not_reported_and_makes_room(model: PinnedModel) -> None:
    clock = Clock()
    drift = Drift(Workers(model), BY_SENDER, clock)
    drift.committed(published(model, north=only(7, 1_500), south=only(7, 1_500)))
    clock.now_s = FORGOTTEN_S + 1
    assert not [name for name, *_ in shown(drift) if name == "digits_drift_psi"]
    drift.committed(published(model, west=only(7, 1_500)))
    assert set(drift.senders) == {"south", "west"}


def test_another_model_begins_with_its_own_reference_and_the_old_ones_late_answers_are_left_out(
    model: PinnedModel, other: PinnedModel
) -> None:
    workers = Workers(model)
    drift = Drift(workers, BY_SENDER)
    drift.committed(published(model, north=only(7, 1_500)))
    workers.pinned = other
    drift.committed(published(model, north=only(7, 1_500)))
    assert report(drift) == {"readings": 0}
    assert not drift.senders
    drift.committed(published(other, north=as_expected(1_500)))
    assert shown(drift)["digits_drift_psi", "digits", "north"] < 0.01


def test_a_model_without_a_reference_is_named_once_and_nothing_is_reported() -> None:
    files = ModelFiles.read(default_model())
    kept = {name: value for name, value in files.manifest.items() if name != FIELD}
    bare = PinnedModel.of(ModelFiles.checked(files.folder, msgspec.json.encode(kept), files.arrays_npz), "bare")
    drift = Drift(Workers(bare), DriftSettings())
    with capture_logs() as logs:
        for _ in range(3):
            drift.committed(Publication(TopicPartition("requests", 0), [ReadyPart(Part(1, []), 0, 0, 0)]))
    assert [entry["event"] for entry in logs] == ["drift not watched"]
    assert report(drift) is None
    assert not shown(drift)
    bare.close()


def test_counts_that_do_not_fit_the_reference_are_left_out(model: PinnedModel) -> None:
    drift = Drift(Workers(model), BY_SENDER)
    drift.committed(published(model, north=[1_500] * 3))
    assert report(drift) == {"readings": 0}
