"""``digit-engine``, and the same as ``python -m engine``."""

from __future__ import annotations

import signal


def main() -> None:
    """Import the command line and run it: Ctrl-C ends the program without a traceback from its first moment."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # also where it was ignored, as in the background of a script
    from engine.cli import main  # noqa: PLC0415  # the signal comes first

    signal.signal(signal.SIGINT, signal.default_int_handler)
    main()


if __name__ == "__main__":
    main()
