"""Imported by Python itself at its start, where `PYTHONPATH` names this folder; see `tests.harness.failure_points`."""

from __future__ import annotations

import sys
from pathlib import Path

if "consumer" in sys.orig_argv:  # the service; its workers are `consumer.workers.worker`
    sys.path.insert(0, str(Path(__file__).parents[4]))

    from tests.harness import failure_points

    failure_points.install()
