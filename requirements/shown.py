"""Run a command that prints nothing by itself, and print a line every few seconds.

``python3 requirements/shown.py WHAT COMMAND …``: WHAT says what the command does. The exit code is the command's.
It uses only the standard library, since it runs before any package is installed.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time

SIGN_S = 3.0
INTERRUPTED = 130


def main(what: str, command: list[str]) -> int:
    """Run the command to its end and return its exit code."""
    started_s = time.monotonic()
    try:
        interrupts: list[int] = []
        # Until the command runs, an interrupt is only noted: during its start, it would leave the command running.
        signal.signal(signal.SIGINT, lambda number, _: interrupts.append(number))
        print(what, file=sys.stderr, flush=True)
        with subprocess.Popen(command, start_new_session=True) as running:
            try:
                # Also where it was ignored, as in the background of a script.
                signal.signal(signal.SIGINT, signal.default_int_handler)
                if interrupts:
                    return INTERRUPTED
                while True:
                    try:
                        return running.wait(SIGN_S)
                    except subprocess.TimeoutExpired:
                        print(f"{what} … {time.monotonic() - started_s:.0f} s", file=sys.stderr, flush=True)
            finally:
                running.terminate()
                print(f"{what}: {time.monotonic() - started_s:.0f} s", file=sys.stderr, flush=True)
    except KeyboardInterrupt:
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
