"""Imported by Python itself at its start, where `PYTHONPATH` names this folder; see `tests.harness.poison`."""

from __future__ import annotations

import sys
from pathlib import Path

if "consumer.workers.worker" in sys.orig_argv:
    sys.path.insert(0, str(Path(__file__).parents[4]))

    from tests.harness import poison

    poison.install()
