"""Scenes: the same digit comes out of crops, plates, form fields, sheets on desks and uneven light."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from engine.canvas.components import find_components
from engine.canvas.pipeline import EVIDENCE, normalise
from engine.canvas.planes import unpacked
from engine.canvas.ruling import erase_lines
from engine.canvas.scenes.objects import erase_combs, find_objects
from engine.canvas.scenes.pens import fill_outlined, join_dotted
from engine.canvas.scenes.shadows import repair_shadows
from engine.canvas.scenes.surfaces import cut_out, find_surface
from engine.canvas.scenes.turning import measure_rims, turn_filled
from engine.codecs.decode import Picture
from engine.limits import Limits
from engine.model.classifier import Classifier
from engine.reader import Reader
from models import default_model
from tests.unit.engine.canvas.test_pipeline import SAMPLES, apart, enlarged, packed, rounded

Grey = NDArray[np.uint8]
Ink = NDArray[np.float32]
FILES = sorted((Path(__file__).parents[3] / "data" / "scenes").iterdir())


def drawn(*lines: list[tuple[int, int]], sides: tuple[int, int] = (100, 100), pen: int = 8) -> Ink:
    """Draw lines of ink through points (x, y)."""
    picture = np.zeros(sides, np.float32)
    for line in lines:
        cv2.polylines(picture, [np.array(line)], isClosed=False, color=1.0, thickness=pen)
    return picture


def padded(sample: Grey, scale: int, room: int) -> Ink:
    """Enlarge a sample and put paper around it."""
    return np.pad(enlarged(sample, scale), room).astype(np.float32) / np.float32(255)


def cut(ink: Ink) -> Ink:
    rows, columns = np.flatnonzero(ink.max(axis=1)), np.flatnonzero(ink.max(axis=0))
    return np.ascontiguousarray(ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])


SEVEN = [(20, 10), (80, 10), (45, 90)]
TWO = [(20, 30), (35, 10), (65, 10), (75, 35), (20, 90), (80, 90)]
FIVE = [(75, 10), (30, 10), (28, 45), (60, 45), (72, 65), (55, 90), (25, 85)]
FOOTED_ONE = [(25, 30), (50, 10), (50, 90), (20, 90), (80, 90)]
FOUR = ([(35, 10), (20, 60), (80, 60)], [(65, 10), (65, 90)])


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_scene_is_read_as_a_person_reads_it(file: Path) -> None:
    reader = Reader(Classifier.load(default_model()), Limits())
    ((outcome,),) = reader.read([file.read_bytes()])
    assert outcome.reading is not None
    assert (outcome.reading.status, outcome.reading.digit) == ("recognised", int(file.stem[-1]))


@pytest.mark.parametrize("lines", [(SEVEN,), (TWO,), (FIVE,), (FOOTED_ONE,), FOUR], ids=["7", "2", "5", "1", "4"])
def test_a_digit_cut_to_its_ink_keeps_its_bar(lines: tuple[list[tuple[int, int]], ...]) -> None:
    ink = cut(drawn(*lines))
    planes = packed(ink)
    assert erase_lines(planes, find_components(planes))[0] == 0
    assert np.array_equal(unpacked(planes, 0), ink)


@pytest.mark.parametrize("rules", [[50], [30, 80]], ids=["one rule", "two rules"])
def test_a_rule_through_a_digit_within_its_page_still_goes(rules: list[int]) -> None:
    ink = drawn(SEVEN, sides=(130, 110))
    ruled = ink.copy()
    ruled[rules] = 1
    planes = packed(np.roll(ruled, 20, axis=0))
    assert erase_lines(planes, find_components(planes))[0] > 0.05


def test_a_frame_around_the_picture_is_no_cropped_digit() -> None:
    ink = drawn(SEVEN)
    ink[[0, -1]] = ink[:, [0, -1]] = 1
    planes = packed(ink)
    assert erase_lines(planes, find_components(planes))[0] > 0.1


def test_the_rim_of_a_cropped_digit_is_no_evidence() -> None:
    page = 255 - rounded(255 * drawn(TWO))
    whole, cropped = (normalise([Picture(picture)]).evidence[0] for picture in (page, page[6:95, 16:85]))
    rim = [line.split(":")[0] for line in EVIDENCE].index("rim")
    assert whole[rim] == cropped[rim] == 0


def test_a_one_that_fills_its_picture_is_ink() -> None:
    stroke = cut(drawn([(50, 10), (53, 90)], pen=14))
    assert stroke.mean() > 0.7
    planes = packed(1 - stroke)
    turn_filled(planes, np.zeros(1, np.float32), measure_rims(planes))
    assert np.allclose(unpacked(planes, 0), stroke)


def test_paper_with_ink_at_its_rim_is_not_turned() -> None:
    ink = drawn([(0, 40), (30, 40)], [(99, 10), (60, 30)], [(50, 60), (50, 80)])
    planes = packed(ink)
    turn_filled(planes, np.zeros(1, np.float32), measure_rims(planes))
    assert np.array_equal(unpacked(planes, 0), ink)


def plate(shape: str) -> Ink:
    mask = np.zeros((100, 100), np.float32)
    if shape == "disc":
        cv2.circle(mask, (50, 50), 46, 1.0, -1)
    elif shape == "diamond":
        cv2.fillPoly(mask, [np.array([(50, 2), (98, 50), (50, 98), (2, 50)])], 1.0)
    else:
        cv2.fillPoly(mask, [np.array([(20, 5), (95, 18), (82, 92), (6, 80)])], 1.0)
    return mask


@pytest.mark.parametrize("shape", ["disc", "diamond", "turned sheet"])
@pytest.mark.parametrize("digit", range(10))
def test_a_plate_with_a_digit_is_a_surface(shape: str, digit: int) -> None:
    sample = next(sample for number, sample in enumerate(SAMPLES) if number // 4 == digit)
    ink = padded(sample, 2, 22)
    for taken_for_ink in (plate(shape) * (1 - ink), (1 - plate(shape)) + ink * plate(shape)):
        surface = find_surface(taken_for_ink)
        assert surface is not None
        assert not surface.is_bare
        assert not (surface.mask * (1 - plate(shape))).any()
        assert surface.mask[30:70, 30:70].all()


def test_no_digit_on_plain_paper_is_a_surface_with_something_on_it() -> None:
    for sample in SAMPLES:
        surface = find_surface(padded(sample, 4, 6))
        assert surface is None or surface.is_bare


def test_a_dotted_zero_is_no_surface() -> None:
    ink = np.zeros((100, 100), np.float32)
    cv2.ellipse(ink, (50, 50), (28, 40), 0, 0, 360, 1.0, 8)
    cv2.circle(ink, (50, 50), 5, 1.0, -1)
    surface = find_surface(ink)
    assert surface is None or surface.is_bare


def test_within_the_outline_of_a_hollow_eight_is_no_surface() -> None:
    body = np.zeros((100, 100), np.uint8)
    for y in (32, 66):
        cv2.ellipse(body, (50, y), (18, 20), 0, 0, 360, 1, 13)
    outline = cv2.morphologyEx(body, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)).astype(np.float32)
    assert find_surface(outline) is None
    assert fill_outlined(outline)
    assert (outline[body > 0] == 1).all()


def test_of_two_filled_boxes_none_is_chosen() -> None:
    ink = np.zeros((60, 120), np.float32)
    for left in (5, 65):
        cv2.rectangle(ink, (left, 5), (left + 50, 55), 1.0, 2)
        ink[15:45, left + 12 : left + 42] = cv2.resize(drawn(SEVEN), (30, 30)) > 0.5
    assert find_surface(ink) is None
    ink[15:45, 77:107] = 0
    assert find_surface(ink) is not None


def test_around_a_surface_its_own_colour_goes_on() -> None:
    picture = np.full((100, 100, 3), (20, 160, 40), np.uint8)
    mask = np.zeros((100, 100), np.uint8)
    cv2.circle(picture, (50, 50), 40, (200, 180, 90), -1)
    cv2.circle(mask, (50, 50), 37, 1, -1)
    picture[40:60, 48:52] = 0
    view = cut_out(picture, mask)
    assert view.shape == (75, 75, 3)
    assert np.abs(view[[0, 0, -1, -1], [0, -1, 0, -1]].astype(int) - (200, 180, 90)).max() <= 1
    assert np.array_equal(view[28:47, 36:38], picture[41:60, 49:51])


@pytest.mark.parametrize(
    ("around", "paper", "pen"),
    [((255, 255, 255), (200, 30, 40), (255, 255, 255)), ((30, 120, 60), (255, 255, 255), (0, 0, 0))],
    ids=["red on white", "white on green"],
)
def test_digits_on_a_plate_come_out_as_on_paper(
    around: tuple[int, ...], paper: tuple[int, ...], pen: tuple[int, ...]
) -> None:
    pictures = []
    for sample in SAMPLES:
        ink = np.pad(enlarged(sample, 5), 70)[:, :, None] / 255
        picture = np.full((280, 280, 3), around, np.float64)
        cv2.circle(picture, (140, 140), 125, paper, -1)
        pictures.append(rounded(picture + ink * (np.array(pen) - picture)))
    assert apart(pictures) < 0.06


def test_a_rim_of_the_same_level_as_its_plate_hides_no_digit() -> None:
    pictures = []
    for sample in SAMPLES:
        ink = np.pad(enlarged(sample, 5), 70)[:, :, None] / 255
        picture = np.full((280, 280, 3), (165, 212, 210), np.float64)
        cv2.circle(picture, (140, 140), 125, (130, 0, 130), -1)
        cv2.circle(picture, (140, 140), 115, (20, 20, 20), -1)
        pictures.append(rounded(picture + ink * (np.array((200, 100, 110)) - picture)))
    assert apart(pictures) < 0.06


@pytest.mark.parametrize("depth", [0.3, 0.5])
def test_a_shadow_with_an_edge_is_no_ink(depth: float) -> None:
    y, x = np.mgrid[-1:1:112j, -1:1:112j]
    random = np.random.default_rng(4)
    pictures = []
    for number, sample in enumerate(SAMPLES):
        light = 1 - depth * np.clip((x + (number % 5 - 2) * 0.3 * y) * 12, 0, 1)
        page = (235 - 200 * (enlarged(sample, 4) / 255)) * light
        pictures.append(rounded(page + random.normal(0, 2, page.shape)))
    seen, expected = (normalise([Picture(each) for each in some]).digits for some in (pictures, SAMPLES))
    shifted = np.stack([np.roll(seen, (down, right), (1, 2)) for down in (-1, 0, 1) for right in (-1, 0, 1)])
    assert np.quantile(np.abs(shifted - expected).mean(axis=(2, 3)).min(axis=0), 0.9) < 0.06


def test_where_the_fitted_surface_holds_nothing_is_repaired() -> None:
    ink = packed(drawn(TWO))
    before = unpacked(ink, 0).copy()
    planes = packed(220 - 150 * before)
    measured = (np.zeros(1, np.float32), np.zeros(1, np.float32), np.zeros(1, np.float32))
    assert not repair_shadows(planes, np.array([-1], np.float32), ink, measured)
    assert np.array_equal(unpacked(ink, 0), before)


def test_shade_along_the_side_of_a_slim_blank_page_is_no_stroke() -> None:
    page = np.full((100, 36), 200, np.float32)
    page[:, :6] -= 60
    ink = packed(np.zeros_like(page))
    measured = (np.zeros(1, np.float32), np.zeros(1, np.float32), np.zeros(1, np.float32))
    assert not repair_shadows(packed(page), np.array([-1], np.float32), ink, measured)
    page = np.roll(page, 12, axis=1)  # with paper on both sides it is a 1
    assert repair_shadows(packed(page), np.array([-1], np.float32), ink, measured)
    assert unpacked(ink, 0)[50, 15] == 1


@pytest.mark.parametrize("lines", [(TWO,), (SEVEN,), FOUR], ids=["2", "7", "4"])
def test_an_outlined_digit_is_filled(lines: tuple[list[tuple[int, int]], ...]) -> None:
    body = (drawn(*lines, pen=14) > 0).astype(np.uint8)
    outline = cv2.morphologyEx(body, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)).astype(np.float32)
    assert fill_outlined(outline)
    assert (outline[body > 0] == 1).all()


def test_the_loops_of_a_digit_are_not_filled() -> None:
    for sample in SAMPLES:
        assert not fill_outlined(padded(sample, 4, 6))


def test_dots_along_strokes_are_joined_and_specks_are_not() -> None:
    ink = np.zeros((100, 100), np.float32)
    for y in range(10, 95, 8):
        cv2.circle(ink, (50, y), 2, 1.0, -1)
    found = find_components(packed(ink))
    assert join_dotted(ink, found.boxes, found.masses)
    assert len(find_components(packed(ink)).masses) == 1
    specks = np.zeros((100, 100), np.float32)
    for y, x in np.random.default_rng(7).integers(3, 95, (12, 2)):
        specks[y : y + 3, x : x + 3] = 1
    found = find_components(packed(specks))
    before = specks.copy()
    assert not join_dotted(specks, found.boxes, found.masses)
    assert np.array_equal(specks, before)


def test_a_finger_at_the_edge_and_punch_holes_are_no_writing_and_a_near_dot_is() -> None:
    ink = drawn([(50, 30), (50, 80)])
    ink[0:20, 70:90] = 1
    for y in (25, 75):
        cv2.circle(ink, (8, y), 4, 1.0, -1)
    ink[20:25, 48:53] = 1
    found = find_components(packed(ink))
    objects = find_objects((100, 100), found.boxes, found.masses, found.runs)
    assert found.boxes[~objects].tolist() == [[20, 48, 25, 53], [26, 46, 85, 55]]


def test_of_writing_at_the_edge_alone_nothing_is_erased() -> None:
    found = find_components(packed(drawn([(0, 20), (40, 20)], [(60, 99), (60, 60)])))
    assert not find_objects((100, 100), found.boxes, found.masses, found.runs).any()


@pytest.mark.parametrize("gap", [0, 3], ids=["touching", "apart"])
def test_a_comb_goes_and_the_digit_between_its_teeth_stays(gap: int) -> None:
    ink = np.zeros((60, 120), np.float32)
    ink[50:52, 10:110] = 1
    for x in range(10, 111, 25):
        ink[38:50, x : x + 2] = 1
    three = cv2.resize(drawn(FIVE), (20, 34)) > 0.5
    ink[16 - gap : 50 - gap, 62:82] += three
    found = find_components(packed(ink))
    assert erase_combs(ink, found.boxes, found.masses, found.runs)
    assert not ink[50:52].any()
    assert not ink[:, :60].any()
    assert ink[16 - gap : 46 - gap, 62:82].sum() > 0.9 * three[:30].sum()


def test_the_foot_of_a_two_is_no_comb() -> None:
    ink = drawn([(20, 40), (40, 20), (60, 20), (62, 40), (12, 70), (90, 70)])
    found = find_components(packed(ink))
    before = ink.copy()
    erase_combs(ink, found.boxes, found.masses, found.runs)
    assert np.array_equal(ink, before)
