"""Makes the payload of a record from a request's body: the bare bytes, the only file, or an archive of the files."""

from __future__ import annotations

import io
from dataclasses import dataclass, field

from starlette.requests import Request

from engine.codecs.formats import payload_format
from producer.web.problems import ProblemError, Refusal
from producer.web.settings import WebSettings
from producer.web.uploads.body import Share, in_time, pieces
from producer.web.uploads.multipart import File, read_files
from producer.web.uploads.packing import packed


@dataclass(frozen=True, slots=True)
class Upload:
    """The payload of a record."""

    payload: bytes = field(repr=False)
    name: str | None
    """Of the only file."""
    content_type: str | None

    @property
    def is_archive(self) -> bool:
        """True if it begins like a zip archive."""
        return payload_format(self.payload) == "ZIP"


async def receive(request: Request, settings: WebSettings, share: Share, *, several: bool) -> Upload:
    """Receive a body.

    Parameters
    ----------
    request
        Its body has not been read yet.
    settings
        The limits.
    share
        The request's share of the memory for bodies.
    several
        True if the request may have several files, or an archive.

    Raises
    ------
    ProblemError
        The body breaks a limit, is malformed, or has no file or too many.
    """
    kind = request.headers.get("content-type", "")
    body = pieces(request, settings.upload, share)
    async with in_time(settings.listen):
        if kind.lower().startswith("multipart/form-data"):
            files = await read_files(kind, body, settings.upload.files if several else 2)
        else:
            bare = File(io.BytesIO(), content_type=kind or None)
            async for piece in body:
                bare.data.write(piece)
            files = [bare]
    return _checked(_upload_of(files, several=several), several=several)


def _upload_of(files: list[File], *, several: bool) -> Upload:
    if not files:
        raise ProblemError(Refusal.NO_FILE, "The form has no file: send it as the field `file` or `files`.")
    if len(files) == 1:
        file = files.pop()
        return Upload(file.data.getvalue(), file.name, file.content_type)
    if not several:
        raise ProblemError(Refusal.SEVERAL_FILES, "This path takes one image: send several to /predict_batch.")
    return Upload(packed(files), None, "application/zip")


def _checked(upload: Upload, *, several: bool) -> Upload:
    if not upload.payload:
        raise ProblemError(Refusal.EMPTY_BODY, "The body, or the only file in it, is empty.")
    if upload.is_archive and not several:
        raise ProblemError(Refusal.SEVERAL_FILES, "This path takes one image: send an archive to /predict_batch.")
    return upload
