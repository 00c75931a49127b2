"""Problem documents (RFC 9457): why a request was refused or failed, by a code of the contract or one of ours."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from http import HTTPStatus
from typing import Any, Final, Self

import msgspec
from starlette.responses import Response

from contract.errors import ErrorCode

MEDIA_TYPE: Final = "application/problem+json"
TYPE_PREFIX: Final = "urn:digitstream:problem:"


class Refusal(StrEnum):
    """Why the server itself refuses a request: its code, HTTP status and a sentence."""

    status: HTTPStatus
    sentence: str

    def __new__(cls, code: str, status: HTTPStatus, sentence: str) -> Self:
        """Bind status and sentence to the member; its value stays the plain code."""
        member = str.__new__(cls, code)
        member._value_ = code
        member.status = status
        member.sentence = sentence
        return member

    MALFORMED_REQUEST = "malformed-request", HTTPStatus.BAD_REQUEST, "The request cannot be read."
    NO_FILE = "no-file", HTTPStatus.BAD_REQUEST, "The request has no file."
    SEVERAL_FILES = "several-files", HTTPStatus.BAD_REQUEST, "The request has several files, or an archive."
    INVALID_KEY = "invalid-idempotency-key", HTTPStatus.BAD_REQUEST, "The Idempotency-Key cannot be used."
    NOT_SIGNED_IN = "not-signed-in", HTTPStatus.UNAUTHORIZED, "An API key or a bearer token is needed."
    NOT_ALLOWED = "not-allowed", HTTPStatus.FORBIDDEN, "The client may not do this."
    UNKNOWN_PATH = "unknown-path", HTTPStatus.NOT_FOUND, "There is nothing at this path."
    UNKNOWN_REQUEST = "unknown-request", HTTPStatus.NOT_FOUND, "There is no such request."
    WRONG_METHOD = "wrong-method", HTTPStatus.METHOD_NOT_ALLOWED, "The path has no such method."
    TOO_SLOW = "too-slow", HTTPStatus.REQUEST_TIMEOUT, "The request's body arrived too slowly."
    EMPTY_BODY = ErrorCode.EMPTY_RECORD.value, HTTPStatus.UNPROCESSABLE_ENTITY, "The file has no bytes."
    BODY_TOO_LARGE = (
        ErrorCode.RECORD_TOO_LARGE.value,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "The request's body is too large.",
    )
    TOO_MANY_FILES = (
        ErrorCode.TOO_MANY_ENTRIES.value,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "The request has too many files.",
    )
    KEY_REUSED = "idempotency-key-reused", HTTPStatus.UNPROCESSABLE_ENTITY, "The key was used for other bytes."
    RATE_LIMITED = "rate-limited", HTTPStatus.TOO_MANY_REQUESTS, "The client sends too often."
    TOO_MANY_AT_ONCE = "too-many-at-once", HTTPStatus.TOO_MANY_REQUESTS, "The client has too many requests under way."
    HEADERS_TOO_LARGE = (
        "headers-too-large",
        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
        "The request's headers are too large.",
    )
    UNEXPECTED = "unexpected-error", HTTPStatus.INTERNAL_SERVER_ERROR, "The server failed in an unforeseen way."
    BUSY = "busy", HTTPStatus.SERVICE_UNAVAILABLE, "Too much is waiting."
    UNAVAILABLE = "unavailable", HTTPStatus.SERVICE_UNAVAILABLE, "Kafka does not answer."


_TOO_LARGE: Final = frozenset(
    {
        ErrorCode.RECORD_TOO_LARGE,
        ErrorCode.KEY_TOO_LARGE,
        ErrorCode.HEADER_TOO_LARGE,
        ErrorCode.TOO_MANY_HEADERS,
        ErrorCode.TOO_MANY_ENTRIES,
        ErrorCode.ARCHIVE_TOO_LARGE,
        ErrorCode.NAME_TOO_LONG,
        ErrorCode.ENTRY_TOO_LARGE,
        ErrorCode.INFLATES_TOO_FAR,
        ErrorCode.ARCHIVE_TOO_COSTLY,
        ErrorCode.IMAGE_TOO_LARGE,
        ErrorCode.TOO_MANY_PIXELS,
        ErrorCode.SIDE_TOO_LONG,
        ErrorCode.DECODES_TOO_LARGE,
        ErrorCode.TOO_MANY_FRAMES,
        ErrorCode.TOO_MANY_PARTS,
        ErrorCode.TOO_MANY_SCANS,
        ErrorCode.RESULTS_TOO_LARGE,
    }
)
_UNSUPPORTED: Final = frozenset({ErrorCode.UNKNOWN_FORMAT, ErrorCode.UNKNOWN_COMPRESSION})


def status_of(code: str) -> HTTPStatus:
    """Return the HTTP status of a failed result; 422 also for codes that were added later."""
    if code in _TOO_LARGE:
        return HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    if code in _UNSUPPORTED:
        return HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    return HTTPStatus.UNPROCESSABLE_ENTITY


class ProblemError(Exception):
    """Ends a request with a problem document. `detail` is a sentence for the client, and contains no secret."""

    def __init__(
        self,
        refusal: Refusal,
        detail: str,
        *,
        retry_after_s: int | None = None,
        headers: Mapping[str, str] | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(detail)
        self.refusal = refusal
        self.detail = detail
        self.headers = dict(headers or {})
        if retry_after_s is not None:
            self.headers["Retry-After"] = str(max(1, retry_after_s))
        self.request_id = request_id

    def response(self) -> Response:
        """Make the response."""
        document = _document(self.refusal, self.refusal.sentence, self.refusal.status, self.detail)
        if self.request_id is not None:
            document["request_id"] = self.request_id
        return _response(document, self.refusal.status, self.headers)


def failed(result: Mapping[str, Any]) -> Response:
    """Make the problem document of a failed result: its code and sentence, its HTTP status, and where it is."""
    error = result["error"]
    code = str(error["code"])
    status = status_of(code)
    title = next((known.sentence for known in ErrorCode if known == code), "The image cannot be read.")
    document = _document(code, title, status, str(error["message"]))
    kept = ("request_id", "result_id", "source", "item", "model", "timing", "partition", "offset")
    document |= {name: result[name] for name in kept if name in result}
    return _response(document, status, {})


def _document(code: str, title: str, status: HTTPStatus, detail: str) -> dict[str, Any]:
    return {"type": TYPE_PREFIX + code, "title": title, "status": int(status), "detail": detail, "code": str(code)}


def _response(document: dict[str, Any], status: HTTPStatus, headers: Mapping[str, str]) -> Response:
    return Response(msgspec.json.encode(document), status, headers, MEDIA_TYPE)
