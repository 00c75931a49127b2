"""Makes the requests of the load as bytes: multipart forms with one picture, or with a zip archive of many."""

from __future__ import annotations

import contextlib
import itertools
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from broker.probe import HOST
from tests.harness.images import zipped

BOUNDARY: Final = b"digitstream-benchmark"
ARCHIVE_IMAGES: Final = 1_000


def single(images: Sequence[bytes]) -> list[bytes]:
    """Return a request for each image."""
    return [_form("/predict", b"digit.png", b"image/png", image) for image in images]


def archives(images: Sequence[bytes], count: int) -> list[bytes]:
    """Return requests with an archive of 1,000 images each."""
    endless = itertools.cycle(images)
    made = []
    for _ in range(count):
        entries = [(f"{number}.png", image) for number, image in zip(range(ARCHIVE_IMAGES), endless, strict=False)]
        made.append(_form("/predict_batch", b"digits.zip", b"application/zip", zipped(entries)))
    return made


@contextlib.contextmanager
def kept(requests: list[bytes]) -> Iterator[str]:
    """Keep requests in a file for the length of the context, and yield its name."""
    with tempfile.NamedTemporaryFile(prefix="digitstream-bench-", suffix=".requests") as file:
        Path(file.name).write_bytes(msgspec.msgpack.encode(requests))
        yield file.name


def _form(path: str, name: bytes, content_type: bytes, content: bytes) -> bytes:
    body = b"\r\n".join(
        [
            b"--" + BOUNDARY,
            b'Content-Disposition: form-data; name="file"; filename="%b"' % name,
            b"Content-Type: " + content_type,
            b"",
            content,
            b"--%b--" % BOUNDARY,
            b"",
        ]
    )
    head = [
        f"POST {path} HTTP/1.1",
        f"Host: {HOST}",
        f"Content-Type: multipart/form-data; boundary={BOUNDARY.decode()}",
        f"Content-Length: {len(body)}",
        "",
        "",
    ]
    return "\r\n".join(head).encode() + body
