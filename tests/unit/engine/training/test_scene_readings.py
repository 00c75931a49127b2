"""Digits in scenes: read from their bytes, and kept as small pictures."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from engine.model.classifier import Classifier
from engine.model.reference_digits import draw_reference_digits
from engine.training.data.samples import png
from engine.training.report.scenes import read_scenes, thumbnail
from engine.training.scenes.kinds import SCENES
from models import default_model


def test_every_scene_is_read_with_its_digits_and_comes_again_with_the_same_seed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 1)  # no other processes, which would take seconds to start
    classifier, digits = Classifier.load(default_model()), draw_reference_digits()[:3]
    steps: list[int] = []
    once, again = (read_scenes(classifier, digits, np.arange(3), 7, lambda: steps.append(1)) for _ in range(2))
    assert list(once.kinds) == list(SCENES)
    assert all(judged.labels.tolist() == [0, 1, 2] for judged in once.kinds.values())
    assert len(once.thumbnails) == 3 * len(SCENES)
    assert len(steps) == 2 * len(SCENES)
    np.testing.assert_array_equal(once.thumbnails, again.thumbnails)
    assert len({picture.tobytes() for picture in once.thumbnails}) == len(once.thumbnails)


def test_a_thumbnail_shows_the_whole_picture_in_a_white_square() -> None:
    wide = np.zeros((10, 40, 3), np.uint8)
    wide[:, 20:] = (255, 0, 0)
    small = thumbnail(png(wide))
    assert small.shape == (56, 56)
    assert small[:20].min() == small[-20:].min() == 255
    assert small[28, 10] == 0
    assert small[28, 45] == cv2.cvtColor(wide[:1, 39:], cv2.COLOR_BGR2GRAY)[0, 0]
