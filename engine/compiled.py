"""How the engine's loops are compiled: once, kept on disk, without the interpreter's lock."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from typing import Any, Final, ParamSpec, TypeVar, cast

import numba
import numpy as np
from numba.core import event

P = ParamSpec("P")
R = TypeVar("R")

ZERO: Final = cast("int", np.int64(0))
"""For a bare 0 as an argument numba would compile the function a second time."""

_functions: Final[list[Any]] = []
_cache_problems: Final[list[str]] = []

REPORT_INTERVAL_S: Final = 2.0
"""While functions are compiled, it is reported so often how many are."""

OnProgress = Callable[[int, int], None]
"""Called with how many functions are compiled, and of how many, while they are being compiled."""


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile `function` at its first call and keep the machine code for the next process.

    numba keeps it beside the source, or, where that is read-only, in the user's cache folder (`NUMBA_CACHE_DIR` names
    another one). Where neither can be written, each process compiles again: slower to start, as right.

    What compiling costs, all users pay once. So no callbacks from C are made; arrays are contiguous and copied by
    loops (to assign one array to another compiles the text of an error message with it); numpy's own functions are
    called only where a loop would not do; and see `ZERO`.

    Sums may be taken in any order, else they would not use the processor's vector registers; nothing else of IEEE 754
    is given up.
    """
    options = {
        "nogil": True,
        "no_cfunc_wrapper": True,
        "error_model": "numpy",
        "fastmath": {"reassoc", "contract"},
    }
    try:
        wrapped = numba.njit(cache=True, **options)(function)
    except RuntimeError as error:  # no place for a cache
        _cache_problems.append(str(error))
        wrapped = numba.njit(**options)(function)
    _functions.append(wrapped)
    return cast("Callable[P, R]", wrapped)


def cache_problem() -> str | None:
    """Say why machine code cannot be kept for the next process; None if it can."""
    return _cache_problems[0] if _cache_problems else None


@contextlib.contextmanager
def compilation_reported(on_compiling: OnProgress) -> Iterator[None]:
    """Report every few seconds what is compiled within this; nothing is reported where all comes from the cache."""
    listener = _Listener(on_compiling)
    event.register("numba:compile", listener)
    try:
        yield
    finally:
        event.unregister("numba:compile", listener)


class _Listener(event.Listener):  # type: ignore[misc]  # numba has no types
    def __init__(self, on_compiling: OnProgress) -> None:
        self._on_compiling = on_compiling
        self._reported_s = -math.inf

    def on_start(self, _: Any) -> None:
        if time.monotonic() - self._reported_s < REPORT_INTERVAL_S:
            return
        self._reported_s = time.monotonic()
        done = sum(1 for function in _functions if function.signatures)
        self._on_compiling(done, len(_functions))

    def on_end(self, event: Any) -> None:
        self.on_start(event)
