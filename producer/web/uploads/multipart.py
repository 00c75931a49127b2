"""Cuts a multipart body into its files while it arrives."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from producer.web.problems import ProblemError, Refusal

MOST_PART_HEADERS: Final = 8
MOST_HEADER_BYTES: Final = 4096
"""Of a header line of a part; it has the file's name."""
MOST_FIELDS: Final = 100
"""Parts without a file: a form may have some, and they are passed over."""
_FILE_FIELDS: Final = frozenset({b"file", b"files", b"files[]"})
"""A part of one of these names is a file, also without a file name."""


@dataclass(slots=True)
class File:
    """A file as it was sent. Owner: the request's task."""

    data: io.BytesIO
    name: str | None = None
    """Without folders; None if there is none."""
    content_type: str | None = None


class _Parts:
    """Receives the parser's calls and collects files. Owner: the request's task."""

    def __init__(self, most_files: int) -> None:
        self.files: list[File] = []
        self.ended = False
        self._most_files = most_files
        self._fields = 0
        self._header = b""
        self._value = b""
        self._headers: dict[bytes, bytes] = {}
        self._file: File | None = None

    def on_part_begin(self) -> None:
        self._headers = {}
        self._file = None

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def on_header_end(self) -> None:
        self._headers[self._header.lower()] = self._value
        self._header = self._value = b""

    def on_headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        if b"filename" not in options and options.get(b"name") not in _FILE_FIELDS:
            self._fields += 1
            if self._fields > MOST_FIELDS:
                raise ProblemError(Refusal.TOO_MANY_FILES, f"A form may have {MOST_FIELDS} fields at most.")
            return
        if len(self.files) == self._most_files:
            raise ProblemError(Refusal.TOO_MANY_FILES, f"A request may have {self._most_files:,} files at most.")
        kind = self._headers.get(b"content-type")
        self._file = File(
            io.BytesIO(),
            base_name(options.get(b"filename", b"").decode(errors="replace")),
            None if kind is None else kind.decode(errors="replace"),
        )
        self.files.append(self._file)

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._file is not None:
            self._file.data.write(memoryview(data)[start:end])

    def on_end(self) -> None:
        self.ended = True


_CALLED: Final = [name for name in vars(_Parts) if name.startswith("on_")]


async def read_files(content_type: str, pieces: AsyncIterator[bytes], most_files: int) -> list[File]:
    """Read the files of a multipart body, in their order.

    Parameters
    ----------
    content_type
        The header of the request; it has the boundary.
    pieces
        The body.
    most_files
        The limit.

    Raises
    ------
    ProblemError
        The body is no multipart body, ends too early, or breaks a limit.
    """
    _, options = parse_options_header(content_type)
    parts = _Parts(most_files)
    try:
        parser = MultipartParser(
            options.get(b"boundary", b""),
            {name: getattr(parts, name) for name in _CALLED},  # type: ignore[arg-type]  # a TypedDict of these names
            max_header_count=MOST_PART_HEADERS,
            max_header_size=MOST_HEADER_BYTES,
        )
        async for piece in pieces:
            parser.write(piece)
    except (FormParserError, ValueError) as error:
        raise ProblemError(Refusal.MALFORMED_REQUEST, "The multipart body is malformed.") from error
    if not parts.ended:
        raise ProblemError(Refusal.MALFORMED_REQUEST, "The multipart body ends too early, or has no boundary.")
    return parts.files


def base_name(name: str) -> str | None:
    """Return a file's name without its folders and control characters; None if nothing is left."""
    last = name.replace("\\", "/").rpartition("/")[2]
    printable = "".join(character if character.isprintable() else "�" for character in last)
    return None if printable in {"", ".", ".."} else printable
