"""Payloads to outcomes: what is wrong with one image stays with that image."""

from __future__ import annotations

import io
import random
import re
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from engine import reader as reader_module
from engine.canvas.png import as_png
from engine.codecs.decode import Picture, decode
from engine.codecs.payload import Payload
from engine.codecs.pixels.room import Charge
from engine.errors import InternalError, fault_of
from engine.limits import Limits
from engine.model.classifier import Classifier
from engine.reader import Outcome, Reader
from engine.resume_cursor import BEGINNING
from models import default_model

DATA = Path(__file__).parents[2] / "data"
DIGITS = sorted((DATA / "digits").glob("*.png"))


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader(Classifier.load(default_model()), Limits())


def packed(entries: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def digit_of(outcome: Outcome) -> int | None:
    return outcome.reading.digit if outcome.reading else None


def test_digits_are_read_as_their_labels_say(reader: Reader) -> None:
    outcomes = reader.read([path.read_bytes() for path in DIGITS])
    assert [digit_of(outcome) for (outcome,) in outcomes] == [int(path.name[0]) for path in DIGITS]


def test_a_photo_of_a_digit_is_read(reader: Reader) -> None:
    ((outcome,),) = reader.read([(DATA / "photo_7.jpg").read_bytes()])
    assert digit_of(outcome) == 7


def test_a_drawing_without_a_digit_is_not_recognised(reader: Reader) -> None:
    ((outcome,),) = reader.read([(DATA / "no_digit.png").read_bytes()])
    assert outcome.reading is not None
    assert outcome.reading.status == "unsure"


def test_an_archive_gives_its_images_in_its_own_order(reader: Reader) -> None:
    entries = {path.name: path.read_bytes() for path in reversed(DIGITS)}
    (outcomes,) = reader.read([packed(entries)])
    assert [outcome.name for outcome in outcomes] == list(entries)
    assert [digit_of(outcome) for outcome in outcomes] == [int(name[0]) for name in entries]


def test_an_archive_with_one_bad_entry_loses_that_entry_alone(reader: Reader) -> None:
    good, bad = DIGITS[0].read_bytes(), (DATA / "damaged.png").read_bytes()
    (outcomes,) = reader.read([packed({"a.png": good, "b.png": bad, "c.png": good})])
    assert [outcome.error.code if outcome.error else None for outcome in outcomes] == [None, "damaged-image", None]
    assert outcomes[1].data == bad
    assert outcomes[0].data is None


def test_what_fails_is_not_kept_in_memory(reader: Reader) -> None:
    damaged = (DATA / "damaged.png").read_bytes() + random.Random(0).randbytes(1_000) * 100  # noqa: S311  # no secret
    archive = packed({f"{number}.png": damaged for number in range(200)})
    tracemalloc.start()
    try:
        (outcomes,) = reader.read([archive])
        kept_bytes, most_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert {outcome.error.code for outcome in outcomes if outcome.error} == {"damaged-image"}
    come_out_bytes = sum(len(outcome.data or b"") for outcome in outcomes)
    assert come_out_bytes < 1_000_000, "the others are left out"
    assert kept_bytes < come_out_bytes + 1_000_000
    assert most_bytes < come_out_bytes + 2_000_000


def test_a_payload_that_is_lost_as_a_whole_is_one_outcome_beside_the_others(reader: Reader) -> None:
    outcomes = reader.read([b"", DIGITS[0].read_bytes(), b"nothing known"])
    codes = [[outcome.error.code if outcome.error else None for outcome in one] for one in outcomes]
    assert codes == [["empty-record"], [None], ["unknown-format"]]


def test_a_failed_image_that_was_no_archive_entry_keeps_no_copy_of_its_bytes(reader: Reader) -> None:
    ((outcome,),) = reader.read([(DATA / "damaged.png").read_bytes()])
    assert outcome.error is not None
    assert outcome.data is None


def test_a_decoder_that_fails_in_an_unforeseen_way_costs_one_image(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = DIGITS[1].read_bytes()

    def failing(data: bytes, limits: Limits, charge: Charge) -> Picture:
        if data == bad:
            raise RuntimeError("unforeseen")
        return decode(data, limits, charge)

    monkeypatch.setattr(reader_module, "decode", failing)
    outcomes = reader.read([DIGITS[0].read_bytes(), bad, DIGITS[2].read_bytes()])
    errors = [outcome.error for (outcome,) in outcomes]
    assert [error.code if error else None for error in errors] == [None, "internal-error", None]
    assert isinstance(errors[1], InternalError)
    assert re.fullmatch(r"RuntimeError at unit/engine/test_reader\.py:\d+", fault_of(errors[1]))


def test_running_out_of_memory_costs_one_image(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(_data: bytes, _limits: Limits, _charge: Charge) -> Picture:
        raise MemoryError

    monkeypatch.setattr(reader_module, "decode", failing)
    ((outcome,),) = reader.read([DIGITS[0].read_bytes()])
    assert outcome.error is not None
    assert outcome.error.code == "out-of-memory"


def test_an_archive_that_has_been_begun_does_not_fail_as_a_whole(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object) -> Payload:
        raise MemoryError

    monkeypatch.setattr(reader_module, "open_payload", failing)
    archive = packed({path.name: path.read_bytes() for path in DIGITS[:3]})
    ((outcome,),) = reader.read([archive])
    assert outcome.error is not None
    with pytest.raises(MemoryError):  # some of its items are answered: the worker ends, and all is done again
        reader.resume([archive], resume_from=[BEGINNING._replace(items=2)])


def test_each_item_is_announced_before_it_is_touched(reader: Reader) -> None:
    announced: list[tuple[int, int]] = []
    archive = packed({path.name: path.read_bytes() for path in DIGITS[:3]})
    reader.resume([DIGITS[0].read_bytes(), archive], on_item=lambda payload, item: announced.append((payload, item)))
    assert list(dict.fromkeys(announced)) == [(0, 0), (1, 0), (1, 1), (1, 2)]


def test_more_images_than_one_chunk_come_out_as_they_would_alone(reader: Reader) -> None:
    payloads = [path.read_bytes() for path in DIGITS] * 8  # 320 images: more than one chunk of 256
    together = reader.read(payloads)
    alone = [reader.read([payload])[0] for payload in payloads[: len(DIGITS)]]
    for i, (outcome,) in enumerate(together):
        expected = alone[i % len(DIGITS)][0].reading
        assert outcome.reading is not None
        assert expected is not None
        assert outcome.reading.digit == expected.digit
        assert outcome.reading.probabilities == pytest.approx(expected.probabilities, abs=1e-4)


def test_no_payloads_give_no_outcomes(reader: Reader) -> None:
    assert reader.read([]) == []


@pytest.mark.parametrize("isolate", [True, False])
def test_a_picture_is_kept_as_the_model_saw_it_only_where_that_is_asked(reader: Reader, *, isolate: bool) -> None:
    first, second, third = (path.read_bytes() for path in DIGITS[:3])
    outcomes, _ = reader.resume([first, second, b"no image", third], keep_seen={1, 2, 3}, isolate=isolate)
    assert [outcome.seen is not None for (outcome,) in outcomes] == [False, True, False, True]
    classifier = Classifier.load(default_model())
    for place, data in ((1, second), (3, third)):
        (expected,) = classifier.prepare([decode(data, Limits())]).digits
        assert outcomes[place][0].seen == as_png(expected)


def test_the_picture_of_the_last_of_a_batch_and_of_the_first_of_the_next_one_are_not_mixed_up(reader: Reader) -> None:
    one, other = (path.read_bytes() for path in (DIGITS[0], DIGITS[-1]))
    at = reader_module._BATCH_SIZE
    outcomes, _ = reader.resume([*[one] * at, other, one], keep_seen={at - 1, at})
    kept = {place: outcome.seen for place, (outcome,) in enumerate(outcomes) if outcome.seen is not None}
    alone = [reader.resume([data], keep_seen={0})[0][0][0].seen for data in (one, other)]
    assert kept == {at - 1: alone[0], at: alone[1]}


def test_no_picture_of_an_archive_is_kept(reader: Reader) -> None:
    archive = packed({"a.png": DIGITS[0].read_bytes(), "b.png": DIGITS[1].read_bytes()})
    ((first, second),), _ = reader.resume([archive], keep_seen={0})
    assert first.reading
    assert second.reading
    assert (first.seen, second.seen) == (None, None)


def test_what_is_read_does_not_depend_on_whether_the_picture_is_kept(reader: Reader) -> None:
    payloads = [path.read_bytes() for path in DIGITS]
    kept, _ = reader.resume(payloads, keep_seen=range(len(payloads)))
    assert [[outcome.reading for outcome in each] for each in kept] == [
        [outcome.reading for outcome in each] for each in reader.read(payloads)
    ]
