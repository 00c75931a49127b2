"""Converts pictures of any size and colour to grey planes of at most 128 px (wide ones 256 px), packed into one array.

flatten  alpha: composite the picture on black or white paper, on which its ink is visible
reduce   shrink large pictures by averaging blocks of pixels
project  colour: keep the mix of channels with the strongest edges

A plane has values of 0 to 255. Its polarity and contrast are not yet known.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.compiled import compiled

PLANE_MAX_PX = 128
"""The longest side of a plane: six times the digit box, and small enough for many passes. Wide ones have twice that."""

_WIDE = 2.5  # width to height: of three boxes in a row with paper around them
_GREY_NDIM = 2
_RGB_CHANNELS = 3
_EDGE_PX = 3  # soft edges are not wider than this


class Planes(NamedTuple):
    """Grey planes, or ink planes, of several pictures in one block of memory."""

    values: NDArray[np.float32]
    """All pixels, row by row, plane after plane."""
    starts: NDArray[np.int64]
    """(n + 1,) where each plane starts in `values`."""
    sides: NDArray[np.int64]
    """(n, 2) height and width."""
    blacks: NDArray[np.float32]
    """(n,) the value of black in each plane; a mix of channels can shift it."""


@compiled
def plane_of(planes: Planes, index: int) -> NDArray[np.float32]:
    """Return a view of one plane, (h, w)."""
    height, width = planes.sides[index]
    return planes.values[planes.starts[index] : planes.starts[index + 1]].reshape((height, width))


def unpacked(planes: Planes, index: int) -> NDArray[np.float32]:
    """Return a view of one plane, (h, w), as `plane_of` does, outside of compiled code."""
    return planes.values[planes.starts[index] : planes.starts[index + 1]].reshape(planes.sides[index])


def flatten(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Composite a picture with alpha on paper.

    Parameters
    ----------
    pixels : (h, w) or (h, w, c) uint8, c in 1..4
        Even channel counts end in alpha.

    Returns
    -------
    flat : (h, w) or (h, w, 3) uint8
        The paper is black if the visible parts are bright, else white. The ink is thus visible even if all pixels have
        one colour and only alpha shows the digit.
    """
    if pixels.ndim == _GREY_NDIM:
        return pixels
    if pixels.shape[2] % 2 == 0:
        pixels = _composite_on_paper(pixels)
    return pixels[:, :, 0] if pixels.shape[2] == 1 else pixels


def reduce(flat: NDArray[np.uint8], side_max_px: int = PLANE_MAX_PX) -> NDArray[np.uint8]:
    """Shrink by a whole factor, so that no side is longer than `side_max_px`; each pixel is the mean of its block.

    A wide picture may be a row of boxes or of digits, which are as high as it is: it may be twice as wide, with no more
    pixels than a square. Incomplete blocks at the right and the bottom are cut off.
    """
    height, width = flat.shape[:2]
    if height <= side_max_px and width <= side_max_px:
        return flat
    factor = -(-max(height, width) // side_max_px)
    if width > _WIDE * height:
        factor = max(-(-width // (2 * side_max_px)), math.ceil(math.sqrt(width * height) / side_max_px))
    if factor == 1:
        return flat
    size = (max(1, width // factor), max(1, height // factor))
    flat = flat[: size[1] * factor, : size[0] * factor]
    while factor % 2 == 0 and min(flat.shape[:2]) > 1:  # OpenCV halves ten times as fast as it shrinks by other factors
        factor //= 2
        flat = cv2.resize(flat, (flat.shape[1] // 2, flat.shape[0] // 2), interpolation=cv2.INTER_AREA)
    return flat if factor == 1 else cv2.resize(flat, size, interpolation=cv2.INTER_AREA)


def project(pictures: Sequence[NDArray[np.uint8]]) -> Planes:
    """Pack pictures without alpha as grey planes.

    The plane of a coloured picture is the mix of channels with the largest differences between neighbours, which are at
    the edges of the ink. Shading changes slowly and so hardly affects the mix.
    """
    sides = np.array([picture.shape[:2] for picture in pictures], np.int64).reshape(-1, 2)
    starts = np.zeros(len(pictures) + 1, np.int64)
    np.cumsum(sides[:, 0] * sides[:, 1], out=starts[1:])
    blacks = np.zeros(len(pictures), np.float32)
    if all(picture.ndim == _GREY_NDIM for picture in pictures):
        values = np.empty(starts[-1], np.float32)
        if pictures:
            np.concatenate(pictures, axis=None, out=values)
        return Planes(values, starts, sides, blacks)
    values = np.empty(starts[-1], np.float32)
    for index, picture in enumerate(pictures):
        plane = values[starts[index] : starts[index + 1]]
        if picture.ndim == _GREY_NDIM:
            plane[:] = picture.ravel()
        else:
            blacks[index] = _project(np.ascontiguousarray(picture), plane.reshape(picture.shape[:2]))
    return Planes(values, starts, sides, blacks)


@compiled
def _composite_on_paper(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width, channels = pixels.shape
    colours = channels - 1
    seen = 0.0
    weight = 0.0
    for y in range(height):
        for x in range(width):
            alpha = float(pixels[y, x, colours])
            weight += alpha * colours
            for channel in range(colours):
                seen += alpha * pixels[y, x, channel]
    paper = 0 if seen > 127.5 * weight else 255
    flat = np.empty((height, width, colours), np.uint8)
    for y in range(height):
        for x in range(width):
            alpha = int(pixels[y, x, colours])
            for channel in range(colours):
                mixed = int(pixels[y, x, channel]) * alpha + paper * (255 - alpha)
                flat[y, x, channel] = (mixed + 127) // 255
    return flat


@compiled
def _project(picture: NDArray[np.uint8], plane: NDArray[np.float32]) -> float:
    mix = _strongest_mix(picture)
    offset = np.float32(0.0)
    for weight in mix:
        if weight < 0:
            offset -= 255 * weight
    height, width = plane.shape
    for y in range(height):
        for x in range(width):
            plane[y, x] = offset + mix[0] * picture[y, x, 0] + mix[1] * picture[y, x, 1] + mix[2] * picture[y, x, 2]
    return float(offset)


@compiled
def _strongest_mix(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Find the first eigenvector of the gradients' covariance by power iteration; its absolute weights sum to 1."""
    covariance = _gradient_covariance(picture)
    mix, turned = np.empty(3), np.empty(3)
    # Near grey, but not exactly: the start must not be another eigenvector of a likely covariance.
    mix[0], mix[1], mix[2] = 1.0, 1.01, 0.99
    for _ in range(50):
        for row in range(3):
            turned[row] = 0.0
            for column in range(3):
                turned[row] += covariance[row, column] * mix[column]
        length = math.sqrt(turned[0] * turned[0] + turned[1] * turned[1] + turned[2] * turned[2])
        if length == 0.0:
            break
        for channel in range(3):
            mix[channel] = turned[channel] / length
    size = abs(mix[0]) + abs(mix[1]) + abs(mix[2])
    weights = np.empty(3, np.float32)
    for channel in range(3):
        weights[channel] = mix[channel] / size
    return weights


@compiled
def _gradient_covariance(picture: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Add up the steps between blocks of 2x2 pixels, 3 px apart.

    Each step is weighted by its square, so that a few strong edges outweigh much weak noise.
    """
    height, width, _ = picture.shape
    covariance = np.zeros((3, 3))
    step = np.zeros(3)
    for y in range(0, height - _EDGE_PX - 1, 2):
        for x in range(0, width - _EDGE_PX - 1, 2):
            for down in range(2):
                y1, x1 = y + _EDGE_PX * down, x + _EDGE_PX * (1 - down)
                size = 0.0
                for channel in range(3):
                    step[channel] = _block(picture, y1, x1, channel) - _block(picture, y, x, channel)
                    size += step[channel] * step[channel]
                for row in range(3):
                    for column in range(3):
                        covariance[row, column] += size * step[row] * step[column]
    return covariance


@compiled
def _block(picture: NDArray[np.uint8], y: int, x: int, channel: int) -> float:
    return (
        float(picture[y, x, channel])
        + float(picture[y, x + 1, channel])
        + float(picture[y + 1, x, channel])
        + float(picture[y + 1, x + 1, channel])
    )
