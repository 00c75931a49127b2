"""A disagreement: a picture that two models have read differently, with both answers.

The value of the record is the picture as it was received: the value of the request, or of an archive the entry. It has
no key. Its headers are those of this module. It is for those who compare models, and no part of the answer to a
request: a picture may be there twice, or be missing, and `result_id` identifies it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from contract import headers, records

Headers = Sequence[tuple[str, bytes]]


class InvalidDisagreementError(ValueError):
    """A record is not a disagreement; the message says why."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class ModelAnswer(_Part):
    """What one of the models has answered."""

    status: Literal["recognised", "unsure"]
    digit: Annotated[int, Field(ge=0, le=9)]
    confidence: records.Probability
    reason: str | None
    model: records.ModelVersion


class Disagreement(_Part):
    """The content of a disagreement's headers."""

    result_id: str
    request_id: str
    topic: str
    partition: Annotated[int, Field(ge=0)]
    offset: Annotated[int, Field(ge=0)]
    item_index: Annotated[int, Field(ge=0)]
    item_name: str | None
    champion: ModelAnswer
    """Of the model whose answer was published."""
    challenger: ModelAnswer

    def headers(self) -> list[tuple[str, bytes]]:
        """Return the headers of the record."""
        named = {
            headers.ORIGIN_TOPIC: self.topic,
            headers.ORIGIN_PARTITION: str(self.partition),
            headers.ORIGIN_OFFSET: str(self.offset),
            headers.ITEM_INDEX: str(self.item_index),
            headers.ITEM_NAME: self.item_name,
            headers.RESULT_ID: self.result_id,
            headers.REQUEST_ID: self.request_id,
            headers.CHAMPION: self.champion.model_dump_json(),
            headers.CHALLENGER: self.challenger.model_dump_json(),
        }
        return [(name, value.encode()) for name, value in named.items() if value is not None]

    @classmethod
    def read(cls, all_headers: Headers) -> Self:
        """Parse the headers of a record.

        Raises
        ------
        InvalidDisagreementError
            A header is missing or invalid; the message names it.
        """
        try:
            named = {name: value.decode() for name, value in all_headers}
            return cls(
                result_id=named[headers.RESULT_ID],
                request_id=named[headers.REQUEST_ID],
                topic=named[headers.ORIGIN_TOPIC],
                partition=int(named[headers.ORIGIN_PARTITION]),
                offset=int(named[headers.ORIGIN_OFFSET]),
                item_index=int(named[headers.ITEM_INDEX]),
                item_name=named.get(headers.ITEM_NAME),
                champion=ModelAnswer.model_validate_json(named[headers.CHAMPION]),
                challenger=ModelAnswer.model_validate_json(named[headers.CHALLENGER]),
            )
        except KeyError as error:
            raise InvalidDisagreementError(f"header {error.args[0]} is missing") from error
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise InvalidDisagreementError(f"{where}: {first['msg']}") from error
        except ValueError as error:
            raise InvalidDisagreementError(f"a header cannot be parsed: {error}") from error
