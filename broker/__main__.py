"""``digit-broker``, and the same as ``python -m broker``."""

from __future__ import annotations

import signal


def main() -> None:
    """Import the command line and run it; Ctrl-C ends the program without a traceback even during the import."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # also if it was ignored, as in a shell's background
    from broker.cli import app  # noqa: PLC0415  # after the signal is set

    signal.signal(signal.SIGINT, signal.default_int_handler)
    app()


if __name__ == "__main__":
    main()
