"""Imported by Python itself at its start, where `PYTHONPATH` names this folder; see `tests.harness.deaths`."""

from __future__ import annotations

import sys
from pathlib import Path

if "consumer" in sys.orig_argv:  # the service; its workers are `consumer.workers.worker`
    sys.path.insert(0, str(Path(__file__).parents[3]))

    from tests.harness import deaths

    deaths.lie_in_wait()
