"""Imported by Python at its start, where `PYTHONPATH` names this folder; see `tests.harness.blocking_guard`."""

from __future__ import annotations

import sys
from pathlib import Path

if [word for word in sys.orig_argv if word != "-P"][1:3] in (["-m", "consumer"], ["-m", "producer"]):
    sys.path.insert(0, str(Path(__file__).parents[4]))

    from tests.harness import blocking_guard

    blocking_guard.forbid_blocking()
