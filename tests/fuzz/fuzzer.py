"""One process that fuzzes until its time is over, or until a payload ends as none may.

Started by ``python -m tests.fuzz`` with libFuzzer's own arguments.
"""

from __future__ import annotations

import pkgutil
import sys
from pathlib import Path
from typing import Final

import atheris

ENGINE: Final = Path(__file__).parents[2] / "engine"
COMPILED: Final = ("engine.codecs.pixels.grey_png",)
"""Compiled by numba, which does not know the instructions that count."""


def is_counted(module: str) -> bool:
    """Return True for what reads untrusted bytes. The rest of the engine is mostly compiled."""
    return module in {"engine", "engine.reader"} or (module.startswith("engine.codecs") and module not in COMPILED)


with atheris.instrument_imports(
    include=["PIL", "engine"],
    exclude=[
        module.name for module in pkgutil.walk_packages([str(ENGINE)], prefix="engine.") if not is_counted(module.name)
    ],
):
    from PIL import Image

    Image.preinit()
    from tests.fuzz.judge import Judge  # imports the engine
    from tests.fuzz.mutate import mutate


def main() -> None:
    """Fuzz."""
    judge = Judge()

    def judged(payload: bytes) -> None:
        judge.limit_memory()  # each time again: the corpus that libFuzzer gathers in this process does not count
        judge(payload)

    atheris.Setup(
        sys.argv,
        judged,
        custom_mutator=lambda payload, max_bytes, seed: mutate(payload, max_bytes, seed, atheris.Mutate),
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main()
