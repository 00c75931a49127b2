"""``digit-engine``, and the same as ``python -m engine``."""

from __future__ import annotations

import signal


def main() -> None:
    """Import and run the command line. Ctrl-C ends the program without a traceback, even during the imports."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # also if it is ignored, as in the background of a script
    from engine.cli import main  # noqa: PLC0415  # the signal handler comes first

    signal.signal(signal.SIGINT, signal.default_int_handler)
    main()


if __name__ == "__main__":
    main()
