"""How the engine's loops are compiled: once, kept on disk, without the interpreter's lock."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

import numba

P = ParamSpec("P")
R = TypeVar("R")


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile `function` at its first call and keep the machine code for the next process.

    numba keeps it beside the source, or, where that is read-only, in the user's cache folder (`NUMBA_CACHE_DIR` names
    another one). Where neither can be written, each process compiles anew: slower to start, as right.

    What compiling costs, all users pay once. So no callbacks from C are made; arrays are contiguous and copied by loops,
    since to assign one array to another compiles the text of an error message with it; numpy's own functions are called
    only where a loop would not do; and a constant that is passed as an argument is ``np.int64(0)``, since for a bare 0
    numba compiles the function a second time.

    Sums may be taken in any order, else they would not use the processor's vector registers; nothing else of IEEE 754
    is given up.
    """
    options = {"nogil": True, "no_cfunc_wrapper": True, "error_model": "numpy", "fastmath": {"reassoc", "contract"}}
    try:
        wrapped = numba.njit(cache=True, **options)(function)
    except RuntimeError:  # no place for a cache
        wrapped = numba.njit(**options)(function)
    return cast("Callable[P, R]", wrapped)
