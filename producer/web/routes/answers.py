"""Makes responses of the gateway's answers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from contract.errors import ErrorCode
from contract.records import Status
from producer.web.gateway.interface import Answer, Gateway
from producer.web.routes.headers import location, wants_seen

JSON: Final = "application/json"
_WHOLE_REQUEST: Final = frozenset(
    {
        ErrorCode.UNREADABLE_RECORD,
        ErrorCode.EMPTY_RECORD,
        ErrorCode.RECORD_TOO_LARGE,
        ErrorCode.KEY_TOO_LARGE,
        ErrorCode.HEADER_TOO_LARGE,
        ErrorCode.TOO_MANY_HEADERS,
        ErrorCode.DAMAGED_ARCHIVE,
        ErrorCode.EMPTY_ARCHIVE,
        ErrorCode.TOO_MANY_ENTRIES,
        ErrorCode.ARCHIVE_TOO_LARGE,
        ErrorCode.ARCHIVE_OVERLAPS,
        ErrorCode.RESULTS_TOO_LARGE,
    }
)
"""With these codes no image of a request was read."""

_SEEN: Final = b',"seen":"'
"""Begins the picture in a result; within a text of JSON, a quotation mark has a backslash before it."""


def shown(request: Request, answer: Answer) -> dict[str, Any]:
    """Return the result as the API shows it: as published, and where its record is in the predictions topic.

    The sender may have asked for the picture that the model saw; it is shown only if this request asks for it, too.
    """
    result = answer.result | {"partition": answer.record.partition, "offset": answer.record.offset}
    if not wants_seen(request):
        result.pop("seen", None)
    return result


def as_json(request: Request, answer: Answer) -> msgspec.Raw:
    """Return what `shown` does as JSON. Nothing is decoded, since a batch has a thousand, unless a part is left out."""
    if _SEEN in answer.value and not wants_seen(request):
        return msgspec.Raw(msgspec.json.encode(shown(request, answer)))
    place = b',"partition":%d,"offset":%d}' % (answer.record.partition, answer.record.offset)
    return msgspec.Raw(answer.value.rstrip()[:-1] + place)


def is_failed(result: Mapping[str, Any]) -> bool:
    """Return whether an image has failed."""
    return bool(result["status"] == Status.FAILED.value)


def is_failed_whole(result: Mapping[str, Any], *, archive: bool) -> bool:
    """Return whether a request has failed as a whole; `archive` is whether it was sent as an archive."""
    if not is_failed(result) or result["item"]["count"] != 1:
        return False
    code = result["error"]["code"]
    return code in _WHOLE_REQUEST or (code == ErrorCode.UNKNOWN_FORMAT and not archive)


def response(content: object, status: HTTPStatus = HTTPStatus.OK, headers: Mapping[str, str] | None = None) -> Response:
    """Make a response of JSON."""
    return Response(msgspec.json.encode(content), status, headers, JSON)


def listed(request: Request, request_id: str, answers: Sequence[Answer], *, complete: bool) -> Response:
    """Make the response that has the results of a request so far."""
    results = [as_json(request, answer) for answer in answers]
    return response({"request_id": request_id, "complete": complete, "results": results})


def waiting(request: Request, gateway: Gateway, request_id: str, answers: Sequence[Answer] = ()) -> Response:
    """Make the response 202: the request is in the topic, and its answers can be fetched later."""
    delay_s = gateway.state().delay_s
    headers = {
        "Location": location(request, f"/requests/{quote(request_id, safe='')}"),
        "Retry-After": str(max(1, math.ceil(min(delay_s or 1, 60)))),
    }
    content: dict[str, Any] = {"request_id": request_id, "status": "waiting", "complete": False}
    if answers:
        content["results"] = [as_json(request, answer) for answer in answers]
    return response(content, HTTPStatus.ACCEPTED, headers)
