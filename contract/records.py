"""The result record: one JSON object per image on the predictions topic.

Fields and codes may be added, so readers ignore fields and accept codes that they do not know. `schema` is 1 until a
field changes its meaning.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

SCHEMA_VERSION: Final = 1


class Status(StrEnum):
    """The status of a result."""

    RECOGNISED = "recognised"
    UNSURE = "unsure"
    FAILED = "failed"


class Reason(StrEnum):
    """Why an item is unsure."""

    LOW_CONFIDENCE = "low-confidence"
    NOT_A_DIGIT = "not-a-digit"


class _Record(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Source(_Record):
    """The topic, partition and offset of the request."""

    topic: str
    partition: Annotated[int, Field(ge=0)]
    offset: Annotated[int, Field(ge=0)]
    timestamp_ms: Annotated[int, Field(description="The request record's timestamp, epoch milliseconds.")]


class Item(_Record):
    """Which image of the request this is."""

    index: Annotated[int, Field(ge=0, description="0 for a single image; of a zip, in central-directory order.")]
    count: Annotated[int, Field(ge=1, description="Images in the request (entries kept).")]
    name: Annotated[
        str | None,
        Field(description="A label only: the zip entry's name, or the header `filename` of a single image."),
    ]


class Error(_Record):
    """Why the item failed."""

    code: Annotated[str, Field(description="A code of `ErrorCode`, or one added later.")]
    message: Annotated[str, Field(description="One sentence for a person.")]


class ModelVersion(_Record):
    """The model that classified the image."""

    name: str
    version: str
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Timing(_Record):
    """When the service fetched the record, and when it had classified the image; epoch milliseconds."""

    received_at_ms: int
    classified_at_ms: int


Probability = Annotated[float, Field(ge=0, le=1)]


def _number(value: object) -> object:
    """Refuse the JSON value true, which equals 1 in Python."""
    if isinstance(value, bool):
        raise ValueError("a number is expected, not true or false")  # noqa: TRY004  # pydantic reports ValueErrors
    return value


class Result(_Record):
    """The answer to one image."""

    schema_version: Annotated[Literal[1], BeforeValidator(_number), Field(alias="schema")]
    result_id: Annotated[str, Field(description="`topic/partition/offset/index`: the same however often it is read.")]
    request_id: Annotated[str, Field(description="The header `request-id`, else `topic/partition/offset`.")]
    source: Source
    item: Item
    status: Status
    digit: Annotated[int | None, Field(ge=0, le=9)]
    confidence: Annotated[
        Probability | None,
        Field(
            description="Calibrated probability that `digit` is right: of all answers with 0.9, nine in ten are right. "
            "If `recognised`, it is the probability of the digit; if `unsure`, it is lower where there may be no digit."
        ),
    ]
    probabilities: Annotated[
        list[Probability] | None,
        Field(
            min_length=10,
            max_length=10,
            description="Of the digits 0 to 9 if the picture shows one, rounded to 4 decimals.",
        ),
    ]
    reason: Annotated[str | None, Field(description="Why `unsure`: a code of `Reason`, or one added later.")]
    error: Error | None
    model: ModelVersion
    timing: Timing
    seen: Annotated[
        str | None,
        Field(
            description="The picture that the model saw: a grey PNG in base64, of 28 by 28 pixels with the shipped "
            "model; 0 is paper, 255 is ink. It is there only if the header `seen` of the request asks for it, the "
            "request is a single image, and this has not failed.",
            json_schema_extra={"contentEncoding": "base64", "contentMediaType": "image/png"},
        ),
    ] = None

    @model_validator(mode="after")
    def _answers_or_fails(self) -> Self:
        failed = self.error is not None
        if failed != (self.status is Status.FAILED):
            raise ValueError("`error` is set exactly when `status` is failed")
        if any((value is None) != failed for value in (self.digit, self.confidence, self.probabilities)):
            raise ValueError("`digit`, `confidence`, `probabilities` are null exactly when `error` is set")
        if (self.reason is not None) != (self.status is Status.UNSURE):
            raise ValueError("`reason` is set exactly when `status` is unsure")
        return self


def read_result(value: bytes | None) -> Result:
    """Parse the value of a record of the predictions topic, as strictly as its JSON Schema.

    Raises
    ------
    ValueError
        The value is not a result; the message names the fields that are wrong.
    """
    if value is None:
        raise ValueError("the record has no value")
    return Result.model_validate_json(value, strict=True)


def request_id(topic: str, partition: int, offset: int) -> str:
    """Return the id of a request without the header `request-id`."""
    return f"{topic}/{partition}/{offset}"


def result_id(topic: str, partition: int, offset: int, index: int) -> str:
    """Return the id of a result. It follows from the request's position, so any reader can deduplicate results."""
    return f"{topic}/{partition}/{offset}/{index}"
