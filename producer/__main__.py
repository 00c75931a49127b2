"""``digit-producer``, also as ``python -m producer``."""

from __future__ import annotations

import signal


def main() -> None:
    """Import the command line and run it; Ctrl-C ends the program without a traceback, also during the imports."""
    # Also where SIGINT is ignored, as in the background of a script.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from producer.cli import app  # noqa: PLC0415  # the signal comes first

    signal.signal(signal.SIGINT, signal.default_int_handler)
    app()


if __name__ == "__main__":
    main()
