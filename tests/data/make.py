"""Make the samples in this folder again: ``.venv/bin/python tests/data/make.py --mnist DIR``.

DIR holds MNIST's training files in their original order. Only the last 10,000 digits are taken: the part of the
training set that training sets aside to choose by.
"""

from __future__ import annotations

import argparse
import gzip
import math
import zipfile
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

HERE = Path(__file__).parent
SET_ASIDE = 10_000
FOLDER_EACH, ZIP_EACH = 4, 2  # digits of each label
PHOTOGRAPHED = 7
PHOTO_PX = 400
SEED = 7
MADE_IN = (2026, 1, 1, 0, 0, 0)  # of every zip entry, so that the same digits give the same bytes

Pixels = NDArray[np.uint8]


def main() -> None:
    """Write every sample."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mnist", type=Path, required=True, help="folder of train-images-idx3-ubyte.gz and its labels")
    folder = parser.parse_args().mnist
    images = _idx(folder / "train-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28)
    labels = _idx(folder / "train-labels-idx1-ubyte.gz", 8)
    first = len(labels) - SET_ASIDE
    places = [first + np.flatnonzero(labels[first:] == label) for label in range(10)]

    (HERE / "digits").mkdir(exist_ok=True)
    for label, place in enumerate(places):
        for index in place[:FOLDER_EACH]:
            (HERE / "digits" / f"{label}_{index:05d}.png").write_bytes(_png(images[index]))
    with zipfile.ZipFile(HERE / "digits.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for label, place in enumerate(places):
            for index in place[FOLDER_EACH : FOLDER_EACH + ZIP_EACH]:
                archive.writestr(zipfile.ZipInfo(f"{label}_{index:05d}.png", MADE_IN), _png(images[index]))
    subject = images[places[PHOTOGRAPHED][FOLDER_EACH + ZIP_EACH]]
    (HERE / f"photo_{PHOTOGRAPHED}.jpg").write_bytes(_photograph(subject, np.random.default_rng(SEED)))
    (HERE / "no_digit.png").write_bytes(_png(_house()))
    whole = _png(images[places[0][0]])
    (HERE / "damaged.png").write_bytes(whole[: len(whole) * 2 // 3])


def _idx(path: Path, header_bytes: int) -> Pixels:
    return np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8, offset=header_bytes)


def _photograph(digit: Pixels, random: np.random.Generator) -> bytes:
    """Lay a digit on grained paper, under a lamp, seen at an angle, through a cheap lens, as JPEG."""
    ink = cv2.resize(digit, (200, 200), interpolation=cv2.INTER_CUBIC).astype(np.float64) / 255
    ink = np.clip((ink - 0.35) * 3, 0, 1)  # a pen's edge
    sheet = np.zeros((PHOTO_PX, PHOTO_PX))
    sheet[90:290, 120:320] = ink
    corners = np.array([[0, 0], [PHOTO_PX, 0], [PHOTO_PX, PHOTO_PX], [0, PHOTO_PX]], np.float32)
    seen = corners + np.array([[18, 30], [-40, 8], [-6, -22], [28, -50]], np.float32)
    view = cv2.getPerspectiveTransform(corners, seen)
    sheet = cv2.warpPerspective(sheet, view, (PHOTO_PX, PHOTO_PX))
    grain = cv2.GaussianBlur(random.normal(0, 1, sheet.shape), (0, 0), 1.2) * 9
    y, x = np.mgrid[0 : 1 : PHOTO_PX * 1j, 0 : 1 : PHOTO_PX * 1j]
    light = 0.55 + 0.45 * np.exp(-((x - 0.2) ** 2 + (y - 0.15) ** 2) / 0.9)
    paper, pen = np.array([196.0, 224.0, 236.0]), np.array([110.0, 52.0, 40.0])  # BGR: cream, blue ink
    photo = (paper + grain[:, :, None] + sheet[:, :, None] * (pen - paper)) * light[:, :, None]
    photo = cv2.GaussianBlur(photo, (0, 0), 1.1) + random.normal(0, 5, photo.shape)
    rounded = np.clip(np.rint(photo), 0, 255).astype(np.uint8)
    return cv2.imencode(".jpg", rounded, [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes()


def _house() -> Pixels:
    """Draw a house, a tree and the sun."""
    drawing = np.full((160, 200), 255, np.uint8)
    lines = [
        [(40, 140), (40, 80), (75, 50), (110, 80), (110, 140), (40, 140)],
        [(40, 80), (110, 80)],
        [(65, 140), (65, 110), (85, 110), (85, 140)],
        [(150, 140), (150, 95)],
        [(150, 110), (135, 98)],
        [(150, 118), (166, 104)],
        [(10, 140), (190, 140)],
    ]
    for line in lines:
        cv2.polylines(drawing, [np.array(line, np.int32)], isClosed=False, color=40, thickness=3, lineType=cv2.LINE_AA)
    cv2.circle(drawing, (150, 80), 18, 40, 3, cv2.LINE_AA)
    cv2.circle(drawing, (25, 28), 12, 40, 3, cv2.LINE_AA)
    for turn in range(8):
        direction = np.array([math.cos(turn * math.pi / 4), math.sin(turn * math.pi / 4)])
        start, end = (tuple(int(v) for v in np.rint((25, 28) + direction * reach)) for reach in (16, 23))
        cv2.line(drawing, start, end, 40, 2, cv2.LINE_AA)
    return drawing


def _png(pixels: Pixels) -> bytes:
    return cv2.imencode(".png", pixels)[1].tobytes()


if __name__ == "__main__":
    main()
