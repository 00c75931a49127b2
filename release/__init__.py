"""The release: shown by every ``--version``, in the log's first line, in ``/health`` and as a metric.

The version is that of the installed package. The git revision is not part of a package: the build of an image sets
the variable ``DIGITSTREAM_REVISION``; elsewhere it is empty.
"""

from __future__ import annotations

import os
from importlib import metadata
from typing import Final

REVISION_VARIABLE: Final = "DIGITSTREAM_REVISION"


def version() -> str:
    """Return the version of the installed package; ``unknown`` if the package is not installed."""
    try:
        return metadata.version("digitstream")
    except metadata.PackageNotFoundError:
        return "unknown"


def revision() -> str:
    """Return the git revision from which the image was built; empty if it is not known."""
    return os.environ.get(REVISION_VARIABLE, "")


def version_line(program: str) -> str:
    """Return what ``--version`` prints: program, version, and the revision if it is known."""
    return " ".join((program, version(), *([f"({revision()})"] if revision() else [])))
