"""The corpus of hostile records: every case by name, made on the spot and the same on every machine.

``python -m tests.data.hostile FOLDER`` writes the payloads as files, to be looked at or sent elsewhere.
"""

from __future__ import annotations

import argparse
import re
from functools import cache
from itertools import chain
from pathlib import Path

from tests.hostile.archives import archives
from tests.hostile.bombs import bombs
from tests.hostile.case import Case, Cases
from tests.hostile.foreign import foreign
from tests.hostile.pictures import pictures
from tests.hostile.records import records
from tests.hostile.scenes import scenes


@cache
def payloads() -> Cases:
    """Return the cases of which all is in the value, so that the engine alone can judge them."""
    return _joined(archives(), pictures(), scenes(), bombs(), foreign())


@cache
def corpus() -> Cases:
    """Return all cases."""
    return _joined(payloads(), records())


def _joined(*parts: Cases) -> Cases:
    joined = dict(chain.from_iterable(part.items() for part in parts))
    assert len(joined) == sum(map(len, parts)), "two cases of the same name"
    return joined


def file_name(name: str) -> str:
    """Make a file name of a case's name."""
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-").lower()


def main() -> None:
    """Write the payloads of the corpus into a folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    for name, case in payloads().items():
        (folder / file_name(name)).write_bytes(case.value or b"")


__all__ = ["Case", "Cases", "corpus", "file_name", "payloads"]

if __name__ == "__main__":
    main()
