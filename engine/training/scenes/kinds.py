"""Every scene by its name, and the groups that the card shows."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from engine.training.data.disturb import Disturbance
from engine.training.scenes.crops import tight_crop, tight_photo
from engine.training.scenes.desks import finger_at_edge, pen_at_edge, punched, shadow_edge, sheet_askew
from engine.training.scenes.fields import box, box_row, comb, ring
from engine.training.scenes.plates import badge, diamond, disc, dotted, hollow, key, rounded_plate, sticker

SCENES: Final[Mapping[str, Disturbance]] = MappingProxyType(
    {
        "tight_crop": tight_crop,
        "tight_photo": tight_photo,
        "disc": disc,
        "rounded_plate": rounded_plate,
        "diamond": diamond,
        "badge": badge,
        "sticker": sticker,
        "key": key,
        "hollow": hollow,
        "dotted": dotted,
        "box": box,
        "ring": ring,
        "box_row": box_row,
        "comb": comb,
        "sheet_askew": sheet_askew,
        "punched": punched,
        "pen_at_edge": pen_at_edge,
        "finger_at_edge": finger_at_edge,
        "shadow_edge": shadow_edge,
    }
)
"""Draws one digit, cleanly drawn as in MNIST, into a scene; the same generator state gives the same bytes."""

GROUPS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "tight crops": ("tight_crop", "tight_photo"),
        "plates, badges, hollow, boxed, dotted": (
            *("disc", "rounded_plate", "diamond", "badge", "sticker", "key", "hollow", "dotted"),
            *("box", "ring", "box_row", "comb"),
        ),
        "shadow with an edge": ("shadow_edge",),
        "desks": ("sheet_askew", "punched", "pen_at_edge", "finger_at_edge"),
    }
)
"""Each scene is in one of them."""
