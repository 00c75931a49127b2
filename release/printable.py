"""Text from outside, made safe to show: names and messages from files, topics and requests may contain anything."""

from __future__ import annotations


def printable(text: str, *, keep: str = "") -> str:
    """Escape unprintable characters, such as control characters, except those in `keep`."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char in keep else char.encode("unicode_escape").decode("ascii") for char in text
    )
