"""``python -m tests.agreement FOLDER…``: lists the image files that the engine and Pillow decode to different pixels.

The exit code is 1 if a picture differs, or if the engine refuses one that Pillow shows.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path
from typing import Final

from tests.agreement.compare import End, compare

LEVELS: Final = 2
DISAGREEMENTS: Final = frozenset({End.DIFFERENT, End.REFUSED})
UNLISTED: Final = frozenset({End.EQUAL, End.NOT_ACCEPTED})


def main() -> None:
    """Compare all files of the folders."""
    parser = argparse.ArgumentParser(prog="python -m tests.agreement", description=__doc__)
    parser.add_argument("paths", nargs="+", type=Path, help="files, or folders of files")
    parser.add_argument("--levels", type=int, default=LEVELS, help=f"of 255 that are no difference (default {LEVELS})")
    parser.add_argument("--all", action="store_true", help="list files that are equal, or of other formats, too")
    arguments = parser.parse_args()
    ends: Counter[End] = Counter()
    for file in files(arguments.paths):
        end, detail = compare(file.read_bytes(), arguments.levels)
        ends[end] += 1
        if arguments.all or end not in UNLISTED:
            print(f"{file}: {end}{detail and '; '}{detail}", flush=True)
    print(", ".join(f"{ends[end]} {end}" for end in End))
    sys.exit(any(ends[end] for end in DISAGREEMENTS))


def files(paths: list[Path]) -> list[Path]:
    """List the files, and those in folders at any depth."""
    return [file for path in paths for file in (sorted(path.rglob("*")) if path.is_dir() else [path]) if file.is_file()]


if __name__ == "__main__":
    main()
