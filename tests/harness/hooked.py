"""Where Python finds the hooks that a test has put into our programs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]


def hooked(folder: str) -> str:
    """Return the value of `PYTHONPATH` with which a program runs the code of this tree, and one of the hooks."""
    return os.pathsep.join([str(Path(__file__).with_name("hooks") / folder), str(ROOT)])
