"""The known digit that shows whether an item or the service is at fault."""

from __future__ import annotations

import io
import zipfile
from typing import get_args

from consumer.workers.canary import CANARY
from engine.codecs.formats import Format, image_format
from engine.limits import Limits
from engine.model.classifier import Classifier
from engine.reader import Reader
from models import default_model


def test_the_canary_is_a_digit_in_every_format_and_is_recognised() -> None:
    with zipfile.ZipFile(io.BytesIO(CANARY.read_bytes())) as archive:
        formats = {image_format(archive.read(name)) for name in archive.namelist()}
    assert formats == set(get_args(Format))
    (outcomes,) = Reader(Classifier.load(default_model()), Limits()).read([CANARY.read_bytes()])
    assert {outcome.reading and outcome.reading.digit for outcome in outcomes} == {7}
