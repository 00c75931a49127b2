"""Images that do to a worker what a decoder's bug would do.

A poisoned image is a digit followed by a word. It has an effect only on workers that were started with `PYTHONPATH`:
Python then imports `hooks/poison/sitecustomize.py`, which puts `_decode` in the place of the engine's decoder.
"""

from __future__ import annotations

import ctypes
import os
import re
import signal
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

from consumer.workers.challenge.challenger import MOST_PIXELS
from engine import reader
from engine.canvas.pipeline import Canvas
from engine.codecs import decode as picture
from engine.codecs.decode import Picture
from engine.codecs.pixels.room import Charge
from engine.limits import Limits
from engine.model.classifier import Classifier
from tests.harness.hooked import hooked
from tests.harness.images import drawn_digits

PYTHONPATH: Final = hooked("poison")
SLOW_S: Final = 0.4
_MARK: Final = b"\nPOISON:"
_honest = picture.decode
_honest_prepare = Classifier.prepare


def poisoned(effect: str, folder: Path | str = "") -> bytes:
    """Make an image of the digit 0 with one of `_EFFECTS`, `_LATE_EFFECTS` or `_CHALLENGED_EFFECTS`.

    `poisoned_workers` describes what the folder is for.
    """
    return drawn_digits(1)[0] + _MARK + f"{effect}:{folder}".encode()


def poisoned_workers(folder: Path) -> list[int]:
    """List the pids of the workers that have read an image with this folder: some effects leave a file there."""
    return [int(trace.name) for trace in folder.iterdir()]


def install() -> None:
    """Replace the decoder and the classifier; called in a worker before it starts to work."""
    reader.decode = _decode  # type: ignore[attr-defined,assignment]  # where the reader looks it up
    Classifier.prepare = _prepare  # type: ignore[method-assign]


def _decode(data: bytes, limits: Limits, charge: Charge) -> Picture:
    image, mark, word = data.rpartition(_MARK)
    if not mark:
        return _honest(data, limits, charge)
    effect, _, folder = word.decode().partition(":")
    if effect in _LATE_EFFECTS:
        late = _LatePicture(*_honest(image, limits, charge))
        late.effect = _LATE_EFFECTS[effect]
        return late
    if effect in _CHALLENGED_EFFECTS:
        if limits.pixels == MOST_PIXELS:  # only the challenger has this limit
            _EFFECTS[_CHALLENGED_EFFECTS[effect]]("")
        return _honest(image, limits, charge)
    _EFFECTS[effect](folder)
    return _honest(image, limits, charge)


class _LatePicture(Picture):
    """Does harm only when it is classified, with all that are classified together with it."""

    effect: str


def _prepare(self: Classifier, pictures: Sequence[Picture]) -> Canvas:
    for each in pictures:
        if isinstance(each, _LatePicture):
            _EFFECTS[each.effect]("")
    return _honest_prepare(self, pictures)


def _segfault(_: str) -> None:
    ctypes.string_at(0)


def _busy_in_c(folder: str) -> None:
    if folder:
        _leave_trace(folder)
    re.fullmatch("(a|aa)+", "a" * 200 + "b")  # takes years, and holds the interpreter's lock


def _devour_memory(_: str) -> None:
    hoard = []
    while True:
        hoard.append(bytearray(16 * 1024 * 1024))


def _write_a_file(_: str) -> None:
    with tempfile.TemporaryFile() as file:
        file.write(b"what must not be kept")
        file.flush()


def _internal_error(_: str) -> None:
    raise RuntimeError("as if a decoder had raised an unexpected exception")


def _wait_the_first_time(folder: str) -> None:
    """Wait to be killed; return at once if that has happened before."""
    if not poisoned_workers(Path(folder)):
        _leave_trace(folder)
        time.sleep(3_600)


def _leave_trace(folder: str) -> None:
    Path(folder, str(os.getpid())).touch()  # an empty file: a worker may not write


_EFFECTS: Final[Mapping[str, Callable[[str], None]]] = MappingProxyType(
    {
        "segfault": _segfault,
        "kill": lambda _: os.kill(os.getpid(), signal.SIGKILL),
        "stop": lambda _: os.kill(os.getpid(), signal.SIGSTOP),
        "busy": _busy_in_c,
        "memory": _devour_memory,
        "write": _write_a_file,
        "internal": _internal_error,
        "slow": lambda _: time.sleep(SLOW_S),
        "wait": _wait_the_first_time,
    }
)
_LATE_EFFECTS: Final[Mapping[str, str]] = MappingProxyType({"late segfault": "segfault", "late busy": "busy"})
"""Not while the image is decoded, but while its digit is read, with others: see `_LatePicture`."""
_CHALLENGED_EFFECTS: Final[Mapping[str, str]] = MappingProxyType(
    {f"challenged {effect}": effect for effect in ("segfault", "busy", "memory", "internal")}
)
"""Only while the challenger reads the image."""
