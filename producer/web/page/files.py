"""The files of the page, and the headers that they are served with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple

_FOLDER: Final = Path(__file__).with_name("static")
_PREFIX: Final = "/page/"
"""Keeps the names of the files apart from the paths of the API."""
_CONTENT_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "media-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The page asks no server but its own, and runs nothing that a result or a file name may contain."""

HEADERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "Content-Security-Policy": CONTENT_SECURITY_POLICY,
        "Permissions-Policy": "camera=(self), clipboard-read=(self), microphone=(), geolocation=()",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-cache",  # the files have no version in their names, so a browser asks whether they changed
    }
)
"""What each file of the page is served with."""


class PageFile(NamedTuple):
    """A file as it is served."""

    content_type: str
    content: bytes


def page_files() -> dict[str, PageFile]:
    """Read the files of the page.

    Returns
    -------
    files
        By their path on the server: the page itself at ``/``, what it loads below ``/page/``.
    """
    files = {path.name: PageFile(_CONTENT_TYPES[path.suffix], path.read_bytes()) for path in sorted(_FOLDER.iterdir())}
    index = files.pop("index.html")
    return {"/": index} | {_PREFIX + name: file for name, file in files.items()}
