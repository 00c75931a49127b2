"""The documents as their readers' programs take them: headings, links and code."""

from __future__ import annotations

import re
from typing import Final

_FENCED: Final = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_SPAN: Final = re.compile(r"`([^`]+)`")
_HEADING: Final = re.compile(r"^#+ (.+)$", re.MULTILINE)
_LINK: Final = re.compile(r"\]\(([^)\s]+)\)")


def anchors(text: str) -> set[str]:
    """Give the anchors of a document's headings."""
    headings = _HEADING.findall(_FENCED.sub("", text))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(text: str) -> list[str]:
    """Give the targets of a document's links."""
    return _LINK.findall(_FENCED.sub("", text))


def code(text: str) -> list[str]:
    """Give what stands in a document as code: between backticks, and in blocks."""
    return [*_FENCED.findall(text), *_SPAN.findall(_FENCED.sub("", text))]
