"""Unsure answers: their requests are saved as they were sent, and sorted to be labelled."""

from __future__ import annotations

import io
import json
from pathlib import Path

from PIL import Image
from typer.testing import CliRunner

from engine.cli import main
from engine.training.data.labelled import list_folder
from producer.errors import Exit
from tests.harness.images import drawn_digits, zipped
from tests.harness.producer_command import run
from tests.harness.service import running_service
from tests.harness.topics import Broker
from tests.harness.waiting import eventually


def blank_picture() -> bytes:
    """Give a picture without a digit, which is unsure."""
    buffer = io.BytesIO()
    Image.new("L", (28, 28)).save(buffer, "PNG")
    return buffer.getvalue()


async def test_unsure_answers_are_saved_with_their_requests_and_collected_by_digit(
    broker: Broker, tmp_path: Path
) -> None:
    digits, blank = drawn_digits(20), blank_picture()
    archive = zipped([("a.png", digits[0]), ("b.png", blank), ("c.png", digits[1])])
    async with running_service(broker) as service:
        await broker.send([*digits[:5], blank, archive, *digits[5:]], partition=0)
        await eventually(lambda: service.metric("digits_records_total"), lambda done: done == 22)
    raw, labelled = tmp_path / "raw", tmp_path / "labelled"
    done = await run(broker, "unsure", "--to", str(raw))
    assert done.exit_code == Exit.OK, done.err
    lines = [json.loads(line) for line in (raw / "unsure.jsonl").read_text().splitlines()]
    found = {(line["offset"], line["item_index"]): line for line in lines}
    assert {(5, 0), (6, 1)} <= found.keys(), "the blank pictures are unsure"
    assert (raw / found[5, 0]["file"]).read_bytes() == blank
    assert (raw / found[6, 1]["file"]).read_bytes() == archive
    assert all(line["answer"]["status"] == "unsure" for line in lines)
    assert done.out.startswith(f"{len(lines)} unsure answers saved")

    collected = CliRunner().invoke(main, ["collect", str(raw), "--to", str(labelled)])
    assert collected.exit_code == 0, collected.output
    written = [json.loads(line)["file"] for line in (labelled / "answers.jsonl").read_text().splitlines()]
    assert len(written) == len(lines)
    without_digit = [path.read_bytes() for path in (labelled / "unsure").iterdir()]
    assert without_digit.count(blank) == 2
    with_digit = [name for name in written if not name.startswith("unsure/")]
    assert not with_digit or len(list_folder(labelled)) == len(with_digit)

    again = await run(broker, "unsure", "--to", str(raw))
    assert again.exit_code == Exit.USAGE, "answers that are there are not written over"
    limited = await run(broker, "unsure", "--to", str(tmp_path / "one"), "--limit", "1")
    assert len((tmp_path / "one" / "unsure.jsonl").read_text().splitlines()) == 1, limited.err
    late = await run(broker, "unsure", "--to", str(tmp_path / "late"), "--since", "2100-01-01")
    assert late.out.startswith("0 unsure answers saved")


async def test_requests_that_are_no_longer_in_the_log_are_counted(broker: Broker, tmp_path: Path) -> None:
    blank = blank_picture()
    async with running_service(broker) as service:
        await broker.send([blank] * 3, partition=0)
        await eventually(lambda: service.metric("digits_records_total"), lambda done: done == 3)
    await broker.delete_requests_before(2, partition=0)
    done = await run(broker, "unsure", "--to", str(tmp_path / "raw"))
    assert done.exit_code == Exit.OK, done.err
    assert done.out.startswith("1 unsure answers saved")
    assert "of 2 others are no longer there" in done.out
