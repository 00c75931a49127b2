"""Compiles the engine's loops with numba: once, cached on disk, and without the interpreter's lock."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from typing import Any, Final, ParamSpec, TypeVar, cast

import numba
import numpy as np
from llvmlite import ir
from numba.core import event, types
from numba.extending import intrinsic

P = ParamSpec("P")
R = TypeVar("R")

ZERO: Final = cast("int", np.int64(0))
"""The number 0 as an argument: a literal 0 would make numba compile the function a second time."""

LANES: Final = 8
"""How many numbers `add_scaled` adds at once."""

_functions: Final[list[Any]] = []
_cache_problems: Final[list[str]] = []

REPORT_INTERVAL_S: Final = 2.0
"""Seconds between two reports of how many functions are compiled."""

OnProgress = Callable[[int, int], None]
"""Called while functions are compiled, with the number of those that are done and of all."""


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile `function` at its first call and keep the machine code for the next process.

    numba writes the machine code beside the source or, if that is read-only, to the user's cache folder;
    `NUMBA_CACHE_DIR` names another folder. If neither can be written, every process compiles again: it starts more
    slowly, with the same results.

    Every installation compiles once, so the cost matters. Therefore no callbacks from C are generated; arrays are
    contiguous and copied by loops (assigning one array to another also compiles the code of an error message); numpy's
    functions are called only where a loop cannot replace them; and see `ZERO`.

    Sums may be reordered, since they could not be vectorised otherwise. All other rules of IEEE 754 are kept.
    """
    options = {
        "nogil": True,
        "no_cfunc_wrapper": True,
        "error_model": "numpy",
        "fastmath": {"reassoc", "contract"},
    }
    try:
        wrapped = numba.njit(cache=True, **options)(function)
    except RuntimeError as error:  # there is no writable place for a cache
        _cache_problems.append(str(error))
        wrapped = numba.njit(**options)(function)
    _functions.append(wrapped)
    return cast("Callable[P, R]", wrapped)


def cache_problem() -> str | None:
    """Return why machine code cannot be cached for the next process; None if it can."""
    return _cache_problems[0] if _cache_problems else None


@intrinsic  # type: ignore[untyped-decorator]  # numba has no types
def add_scaled(_typing: Any, target: Any, at: Any, row: Any, factor: Any) -> tuple[Any, Callable[..., Any]]:  # noqa: ARG001  # numba wants their names
    """Add the first `LANES` numbers of a row, times a factor, to as many of a target from an index on; all float32.

    Only compiled code may call it, as ``add_scaled(target, at, row, factor)``, and no index is checked. numba makes
    eight steps of a loop with eight rounds; this is one step of a vector unit, with the same results.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        numbers, undefined = ir.VectorType(ir.FloatType(), LANES), ir.Undefined
        target_data, row_data = (
            context.make_array(signature.args[place])(context, builder, arguments[place]).data for place in (0, 2)
        )
        target_at = builder.bitcast(builder.gep(target_data, [arguments[1]]), numbers.as_pointer())
        row_at = builder.bitcast(row_data, numbers.as_pointer())
        first = builder.insert_element(numbers(undefined), arguments[3], ir.IntType(32)(0))
        factors = builder.shuffle_vector(first, numbers(undefined), ir.VectorType(ir.IntType(32), LANES)([0] * LANES))
        added = builder.fmul(builder.load(row_at, align=4), factors, flags=("contract",))
        total = builder.fadd(builder.load(target_at, align=4), added, flags=("contract",))
        builder.store(total, target_at, align=4)
        return context.get_dummy_value()

    return types.void(target, types.intp, row, types.float32), generate


@contextlib.contextmanager
def compilation_reported(on_compiling: OnProgress) -> Iterator[None]:
    """Report every few seconds how much is compiled within this context; nothing if all comes from the cache."""
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
