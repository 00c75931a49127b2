"""Entry point of ``digit-consumer`` and of ``python -m consumer``."""

from __future__ import annotations

import signal


def main() -> None:
    """Import the command line and run it. Ctrl-C during the imports ends the program without a traceback."""
    signal.signal(
        signal.SIGINT, signal.SIG_DFL
    )  # SIGINT may be ignored before: a script does so for its background jobs
    from consumer.cli import main  # noqa: PLC0415  # the signal handler must be set before the imports

    signal.signal(signal.SIGINT, signal.default_int_handler)
    main()


if __name__ == "__main__":
    main()
