"""Reads the headings, links and code of a Markdown page."""

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


def shell_block(text: str, heading: str) -> str:
    """Give the first block for a shell below a heading."""
    _, found, below = text.partition(f"## {heading}\n")
    assert found, f"there is no heading {heading!r}"
    block = re.search(r"^```sh\n(.*?)^```", below, re.MULTILINE | re.DOTALL)
    assert block is not None, f"there is no block for a shell below {heading!r}"
    return block.group(1)
