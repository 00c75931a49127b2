"""The canvas: whatever was done to a picture of a digit, the same digit comes out."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from engine.canvas import pipeline
from engine.canvas.background import remove_paper
from engine.canvas.centring import centre_digits
from engine.canvas.components import find_components
from engine.canvas.ink import find_ink
from engine.canvas.levelling import UNEVEN, find_levels
from engine.canvas.pipeline import EVIDENCE, digits
from engine.canvas.plain import normalise_plain
from engine.canvas.planes import PLANE_MAX_PX, flatten, project, reduce, unpacked
from engine.canvas.strokes import keep_strokes
from engine.codecs.decode import Picture
from tests.harness.drawn_digits import SAMPLES, apart, canvas, enlarged, packed, rounded

COLUMN = {line.split(":")[0]: number for number, line in enumerate(EVIDENCE)}


def test_there_are_samples_of_every_digit() -> None:
    assert len(SAMPLES) == 40


def test_mnist_digits_come_through_as_they_are() -> None:
    clean = np.stack(SAMPLES).astype(np.float32) / 255
    assert np.abs(canvas(SAMPLES).digits - clean).mean(axis=(1, 2)).max() < 0.003


def test_a_digit_that_went_through_goes_through_unchanged() -> None:
    once = canvas(SAMPLES).digits
    assert np.abs(canvas([rounded(digit * 255) for digit in once]).digits - once).max() < 0.02


def test_digits_are_centred_by_mass() -> None:
    seen = canvas([np.pad(sample, ((9, 0), (0, 17))) for sample in SAMPLES]).digits
    place = np.arange(28)
    mass = seen.sum(axis=(1, 2))
    assert np.abs(seen.sum(axis=2) @ place / mass - 14).max() <= 0.51
    assert np.abs(seen.sum(axis=1) @ place / mass - 14).max() <= 0.51


def test_a_digit_is_the_same_in_any_batch() -> None:
    pictures = [enlarged(sample, 1 + number % 8) for number, sample in enumerate(SAMPLES)]
    together = canvas(pictures)
    for number, picture in enumerate(pictures):
        alone = canvas([picture])
        assert np.array_equal(alone.digits[0], together.digits[number])
        assert np.array_equal(alone.evidence[0], together.evidence[number])


def test_plain_pictures_come_out_as_from_the_steps_that_others_take() -> None:
    ruled = np.maximum(SAMPLES[0], 200 * (np.arange(28) == 20)[:, None]).astype(np.uint8)
    shaded = (SAMPLES[1] // 2 + np.arange(28) * 4).astype(np.uint8)
    others = [ruled, shaded, np.dstack([SAMPLES[2]] * 3), enlarged(SAMPLES[3], 2)]
    plain = [*SAMPLES, *(255 - sample for sample in SAMPLES), *(sample[4:, 2:25] // 3 for sample in SAMPLES)]
    pictures = [*plain, np.full((9, 28), 7, np.uint8), *others]
    expected, seen = (pipeline._blank(len(pictures)) for _ in range(2))
    pipeline._normalise([Picture(np.ascontiguousarray(picture)) for picture in pictures], expected)
    left = normalise_plain(pictures, *seen)
    taken = np.setdiff1d(np.arange(len(pictures)), left)
    assert len(taken) > 90
    assert set(range(len(pictures) - len(others), len(pictures))) <= set(left)
    assert np.array_equal(seen.digits[taken], expected.digits[taken])
    assert np.array_equal(seen.evidence[taken], expected.evidence[taken])
    assert not seen.digits[left].any()
    assert not seen.evidence[left].any()


def test_an_empty_batch_gives_empty_arrays() -> None:
    assert canvas([]).digits.shape == (0, 28, 28)
    assert canvas([]).evidence.shape == (0, len(EVIDENCE))
    assert digits([]).shape == (0, 28, 28)


@pytest.mark.parametrize("level", [0, 77, 255])
def test_blank_paper_gives_a_blank_digit(level: int) -> None:
    blank = canvas([np.full((40, 30), level, np.uint8), np.full((500, 600), level, np.uint8)])
    assert not blank.digits.any()
    assert not blank.evidence.any()


def test_dark_on_light_is_light_on_dark() -> None:
    assert apart([255 - sample for sample in SAMPLES]) == 0


def test_faint_ink_is_ink() -> None:
    assert apart([rounded(200 - sample * 0.2) for sample in SAMPLES]) < 0.01


@pytest.mark.parametrize("pen", [0, 90, 255])
def test_alpha_alone_draws_a_digit(pen: int) -> None:
    assert apart([np.dstack([np.full((28, 28, 3), pen, np.uint8), sample]) for sample in SAMPLES]) < 0.001


def test_a_hole_in_an_opaque_sheet_draws_a_digit() -> None:
    assert apart([np.dstack([np.full_like(sample, 40), 255 - sample]) for sample in SAMPLES]) < 0.01


@pytest.mark.parametrize(
    ("paper", "pen"),
    [((200, 60, 60), (60, 130, 60)), ((250, 240, 220), (20, 20, 160)), ((10, 80, 200), (200, 80, 10))],
    ids=["red and green of one brightness", "blue on cream", "orange on blue"],
)
def test_colours_are_distinguished_at_any_brightness(paper: tuple[int, ...], pen: tuple[int, ...]) -> None:
    mixed = [np.array(paper) + sample[:, :, None] / 255 * (np.array(pen) - paper) for sample in SAMPLES]
    assert apart([rounded(picture) for picture in mixed]) < 0.01


def test_the_place_in_a_large_picture_does_not_matter() -> None:
    pictures = []
    for number, sample in enumerate(SAMPLES):
        picture = np.full((460, 500), 255, np.uint8)
        top, left = 11 * number % 430, 37 * number % 470
        picture[top : top + 28, left : left + 28] = 255 - sample
        pictures.append(picture)
    assert apart(pictures) == 0


@pytest.mark.parametrize("scale", [2, 5, 18, 40])
def test_size_does_not_matter(scale: int) -> None:
    assert apart([enlarged(sample, scale) for sample in SAMPLES]) < 0.05


def test_small_digits_are_enlarged() -> None:
    small = [cv2.resize(sample, (14, 14), interpolation=cv2.INTER_AREA) for sample in SAMPLES]
    assert apart(small) < 0.09


def test_shade_is_no_ink() -> None:
    light = np.linspace(1, 0.4, 28)[:, None] * np.linspace(1, 0.8, 28)
    assert apart([rounded((240 - 200 * (sample / 255)) * light) for sample in SAMPLES]) < 0.005


def test_ink_fades_no_more_in_the_shade_than_its_paper_whatever_its_colour() -> None:
    light = np.linspace(1, 0.45, 28)[:, None, None]
    paper, pen = np.array([90, 120, 160]), np.array([230, 150, 170])  # bright ink on darker paper
    mixed = [(paper + sample[:, :, None] / 255 * (pen - paper)) * light for sample in SAMPLES]
    assert apart([rounded(picture) for picture in mixed]) < 0.02


def test_noise_is_no_ink() -> None:
    random = np.random.default_rng(3)
    noisy = [rounded(sample * 0.8 + 25 + random.normal(0, 12, sample.shape)) for sample in SAMPLES]
    assert apart(noisy) < 0.04


@pytest.mark.parametrize("inset", [0, 4])
@pytest.mark.parametrize("thickness", [1, 3])
def test_a_frame_is_no_ink(inset: int, thickness: int) -> None:
    pictures = []
    for sample in SAMPLES:
        picture = np.pad(enlarged(sample, 2), 4 + inset)
        cv2.rectangle(picture, (inset, inset), (len(picture) - 1 - inset,) * 2, 255, thickness)
        pictures.append(255 - picture)
    assert apart(pictures) < 0.05


def test_a_circle_around_a_digit_is_no_ink() -> None:
    pictures = []
    for sample in SAMPLES:
        picture = np.pad(enlarged(sample, 2), 12)
        cv2.circle(picture, (40, 40), 37, 255, 2)
        pictures.append(picture)
    assert apart(pictures) < 0.05


def test_a_dark_table_around_the_paper_is_no_ink() -> None:
    pictures = [np.pad(255 - enlarged(sample, 2), ((20, 8), (12, 30)), constant_values=30) for sample in SAMPLES]
    assert apart(pictures) < 0.05


@pytest.mark.parametrize("darkness", [100, 255])
def test_ruled_lines_are_no_ink(darkness: int) -> None:
    pictures = []
    for number, sample in enumerate(SAMPLES):
        picture = enlarged(sample, 3)
        picture[7 + number % 9 :: 25] = np.maximum(picture[7 + number % 9 :: 25], darkness)
        pictures.append(255 - picture)
    assert apart(pictures) < 0.06


def test_the_bar_of_a_digit_that_fills_its_picture_stays() -> None:
    pictures = []
    for sample in SAMPLES:
        rows, columns = np.flatnonzero(sample.max(1) > 60), np.flatnonzero(sample.max(0) > 60)
        cut = sample[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        pictures.append(np.pad(enlarged(cut, 2), ((0, 0), (0, max(0, 20 - 2 * cut.shape[1])))))
    assert apart(pictures) < 0.06


def test_specks_are_no_ink() -> None:
    random = np.random.default_rng(5)
    pictures = []
    for sample in SAMPLES:
        picture = np.pad(enlarged(sample, 3), 40)
        for top, left in random.integers(0, 35, (6, 2)):
            picture[top : top + 2, left : left + 2] = 255
        pictures.append(picture)
    assert apart(pictures) < 0.06


def test_evidence_distinguishes_one_digit_from_several() -> None:
    rows = [np.hstack([SAMPLES[number], SAMPLES[-1 - number]]) for number in range(10)]
    one, several = canvas(SAMPLES).evidence, canvas(rows).evidence
    assert np.median(one[:, COLUMN["components"]]) == 1
    assert several[:, COLUMN["components"]].min() >= 2
    assert several[:, COLUMN["aspect"]].min() > one[:, COLUMN["aspect"]].max()


def test_evidence_distinguishes_noise_from_paper() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (60, 60), dtype=np.uint8)
    seen = canvas([noise, SAMPLES[0]]).evidence
    assert seen[0, COLUMN["noise"]] > 0.1 > seen[1, COLUMN["noise"]]
    assert seen[0, COLUMN["kept"]] < seen[1, COLUMN["kept"]]


def test_a_shrunk_square_is_exact() -> None:
    square = np.zeros((90, 90), np.float32)
    square[20:60, 30:70] = 1
    seen = np.zeros((1, 28, 28), np.float32)
    centre_digits(packed(square), np.array([[20, 30, 60, 70]]), seen)
    expected = np.zeros((28, 28), np.float32)
    expected[4:25, 4:25] = 1
    expected[[4, 24]] *= 0.5
    expected[:, [4, 24]] *= 0.5
    assert np.allclose(seen[0], expected, atol=1e-6)


def test_what_was_enlarged_shrinks_to_what_it_was() -> None:
    small = np.zeros((12, 12), np.float32)
    small[1:11, 3:5] = 1
    small[1:3, 3:9] = 0.7
    seen = np.zeros((1, 28, 28), np.float32)
    centre_digits(packed(small), np.array([[1, 3, 11, 9]]), seen)
    assert seen.sum() == pytest.approx(4 * small.sum(), rel=0.02)
    assert 0 <= seen.min() <= seen.max() <= 1


def test_components_hang_together_by_corners() -> None:
    picture = np.array([[1, 0, 0, 1, 1], [0, 1, 0, 0, 0], [1, 0, 0, 1, 1], [0, 0, 0, 1, 0.2]], np.float32)
    found = find_components(packed(picture, np.zeros((2, 2), np.float32), picture[:1]))
    assert found.starts.tolist() == [0, 3, 3, 5]
    assert found.boxes.tolist() == [[0, 0, 3, 2], [0, 3, 1, 5], [2, 3, 4, 5], [0, 0, 1, 1], [0, 3, 1, 5]]
    assert found.masses.tolist() == [3, 2, 3, 1, 2]
    assert found.runs[:, 4].tolist() == [0, 0, 0, 0, 0, 1, 0, 0]  # one pixel of the last-but-two run has ink above


def test_components_are_those_of_opencv() -> None:
    random = np.random.default_rng(2)
    for density in (0.1, 0.3, 0.5, 0.8):
        picture = (random.random((50, 61)) < density).astype(np.float32)
        count, _, stats, _ = cv2.connectedComponentsWithStats(picture.astype(np.uint8), connectivity=8)
        found = find_components(packed(picture))
        assert len(found.masses) == count - 1
        assert sorted(found.masses.tolist()) == sorted(stats[1:, cv2.CC_STAT_AREA].tolist())


def test_a_surface_is_laid_through_the_paper_and_not_the_ink() -> None:
    y, x = np.mgrid[-1:1:60j, -1:1:50j]
    paper = 150 + 40 * x - 30 * y + 20 * x * y - 25 * y * y
    picture = paper.copy()
    picture[20:40, 20:26] *= 0.4
    relief, unevenness = remove_paper(
        packed(picture.astype(np.float32)), np.array([UNEVEN], np.float32), np.array([[0, 0, 60, 50]])
    )
    expected = np.zeros((60, 50))
    expected[20:40, 20:26] = -0.6 * paper.max()  # as deep as it would be in the brightest light
    assert np.abs(unpacked(relief, 0) - expected).max() < 5
    assert unevenness[0] == pytest.approx(np.ptp(paper), rel=0.2)


def test_even_paper_is_the_most_frequent_level() -> None:
    even = np.full((20, 20), 200, np.float32)
    even[5:15, 5:9] = 30
    gradient = np.tile(np.linspace(0, 255, 20, dtype=np.float32), (20, 1))
    levels, _ = find_levels(packed(even, gradient))
    assert levels.tolist() == [200, UNEVEN]


def test_the_sheet_within_a_frame_is_found() -> None:
    framed = np.full((40, 50), 20, np.float32)
    framed[5:30, 7:44] = 230
    framed[10:20, 20:23] = 20
    levels, sheets = find_levels(packed(framed))
    assert levels.tolist() == [230]
    assert sheets.tolist() == [[5, 7, 30, 44]]


def test_ink_is_the_rarer_side_of_the_paper() -> None:
    relief = np.zeros((20, 20), np.float32)
    relief[5:15, 8:11] = -120
    ink = packed(relief)
    contrast, noise = find_ink(ink, np.array([0], np.float32))
    assert np.array_equal(unpacked(ink, 0), (relief < 0).astype(np.float32))
    assert (contrast[0], noise[0]) == (120, 0)


def test_far_dirt_goes_and_a_near_dot_stays() -> None:
    picture = np.zeros((60, 60), np.float32)
    picture[20:40, 20:26] = 1
    picture[42:44, 21:25] = 1  # two px below
    picture[2:4, 50:54] = 1
    planes = packed(picture)
    strokes, boxes, _ = keep_strokes(planes, find_components(planes))
    assert boxes.tolist() == [[20, 20, 44, 26]]
    assert not unpacked(strokes, 0)[:10].any()


def test_large_pictures_shrink_by_whole_factors() -> None:
    picture = np.arange(300 * 400, dtype=np.uint32).reshape(300, 400) % 251
    small = reduce(picture.astype(np.uint8))
    assert small.shape == (75, 100)
    assert max(small.shape) <= PLANE_MAX_PX
    blocks = picture.reshape(75, 4, 100, 4).mean(axis=(1, 3))
    assert np.abs(small - blocks).max() <= 1.5


@pytest.mark.parametrize(
    ("height", "width", "expected"), [(100, 1_000, (25, 250)), (60, 200, (60, 200)), (8, 90_000, (1, 255))]
)
def test_wide_pictures_stay_twice_as_wide_with_no_more_pixels(
    height: int, width: int, expected: tuple[int, int]
) -> None:
    small = reduce(np.zeros((height, width), np.uint8))
    assert small.shape == expected
    assert small.size <= PLANE_MAX_PX**2


def test_the_paper_under_alpha_is_what_the_ink_stands_out_from() -> None:
    bright, dark = np.full((9, 9, 2), 250, np.uint8), np.full((9, 9, 2), 5, np.uint8)
    bright[:, :5, 1] = dark[:, :5, 1] = 0
    assert flatten(bright)[0].ravel().tolist() == [0] * 5 + [245] * 4
    dark[:, 5:, 1] = 255
    assert flatten(dark)[0].ravel().tolist() == [255] * 5 + [5] * 4


def test_grey_pictures_in_three_channels_stay_as_they_are() -> None:
    seen = unpacked(project([np.dstack([SAMPLES[0]] * 3)]), 0)
    assert np.allclose(seen, SAMPLES[0], atol=1e-3)
