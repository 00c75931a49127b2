"""The steps for pictures that are more than a digit on a page; small pictures, as MNIST's, take none of them.

surface   find the plate, sheet or box that the digit lies on: its picture is looked at again
objects   erase what lies beside the digit
pens      fill outlined digits, join dotted ones
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from engine.canvas.components import PART, Components
from engine.canvas.planes import Planes, unpacked
from engine.canvas.scenes.objects import erase, erase_combs, find_objects
from engine.canvas.scenes.pens import fill_outlined, join_dotted
from engine.canvas.scenes.surfaces import Surface, find_surface

PLAIN_PX = 28
"""A picture that is not larger takes no step."""

_PARTS_MAX = 100  # more components are noise


def find_surfaces(ink: Planes, components: Components) -> tuple[dict[int, Surface], bool]:
    """Find the surfaces in pictures that may be scenes, and erase combs, in place.

    Returns
    -------
    surfaces : dict
        By the index of their picture.
    is_changed : bool
        The ink of a picture was changed, so its components must be found again.
    """
    surfaces: dict[int, Surface] = {}
    is_changed = False
    for index in _places(ink, components):
        plane = unpacked(ink, index)
        surface = find_surface(plane)
        if surface is not None:
            surfaces[index] = surface
        if surface is None or surface.is_bare:
            boxes, masses, runs = _parts(components, index)
            is_changed |= len(masses) <= _PARTS_MAX and erase_combs(plane, boxes, masses, runs)
    return surfaces, is_changed


def treat_writing(ink: Planes, components: Components, surfaces: Mapping[int, Surface]) -> bool:
    """Erase objects and give strokes to outlined and dotted digits, in place; return whether anything was changed.

    Pictures of which a surface with something on it is to be looked at are left.
    """
    is_changed = False
    for index in _places(ink, components):
        boxes, masses, runs = _parts(components, index)
        if (index in surfaces and not surfaces[index].is_bare) or len(masses) > _PARTS_MAX:
            continue
        plane = unpacked(ink, index)
        objects = find_objects((plane.shape[0], plane.shape[1]), boxes, masses, runs)
        is_changed |= erase(plane, runs[objects[runs[:, PART]]])
        is_changed |= join_dotted(plane, boxes[~objects], masses[~objects]) or fill_outlined(plane)
    return is_changed


def _places(ink: Planes, components: Components) -> list[int]:
    """Return the pictures that may be scenes; of a batch of small pictures, which is usual, at once none."""
    if ink.sides.max(initial=0) <= PLAIN_PX:
        return []
    may_be = (ink.sides.max(axis=1) > PLAIN_PX) & (np.diff(components.starts) > 0)
    places: list[int] = np.flatnonzero(may_be).tolist()
    return places


def _parts(components: Components, index: int) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.int32]]:
    """Return boxes and masses of one picture's components, and its runs."""
    part = slice(components.starts[index], components.starts[index + 1])
    runs = components.runs[components.run_starts[index] : components.run_starts[index + 1]]
    return components.boxes[part], components.masses[part], runs
