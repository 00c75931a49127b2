"""``python -m tests.demo``: what ``make demo`` runs."""

from __future__ import annotations

import signal
import sys


def main() -> int:
    """Import the demo and run it: Ctrl-C ends it without a traceback from its first moment."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # also where it was ignored, as in the background of a script
    from tests.demo.run import main  # noqa: PLC0415  # the signal comes first

    return main()


if __name__ == "__main__":
    sys.exit(main())
