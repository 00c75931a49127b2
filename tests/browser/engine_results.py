"""What the service answers to a payload, made by the real engine and checked against the contract. No Kafka."""

from __future__ import annotations

import base64
import itertools
import time
import zlib
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from contract.records import Result
from engine.limits import Limits
from engine.model.classifier import Classifier
from engine.reader import Outcome, Reader
from models import default_model

_TOPIC: Final = "digits.requests"
_PARTITIONS: Final = 8


class EngineResults:
    """Reads payloads as workers do, and states results as records of the predictions topic have them."""

    def __init__(self) -> None:
        self._classifier = Classifier.load(default_model())
        self._reader = Reader(self._classifier, Limits())
        self._reader.warm_up()
        self._offsets: defaultdict[int, Iterator[int]] = defaultdict(itertools.count)

    def results(self, request_id: str, name: str, payload: bytes, *, seen: bool) -> list[dict[str, Any]]:
        """Return one result for each image of the payload."""
        received_at_ms = round(time.time() * 1000)
        [outcomes], _ = self._reader.resume([payload], keep_seen=[0] if seen else [])
        partition = zlib.crc32(request_id.encode()) % _PARTITIONS
        offset = next(self._offsets[partition])  # in one step, since requests are read in several threads
        results = []
        for index, outcome in enumerate(outcomes):
            reading, error = outcome.reading, outcome.error
            result = {
                "schema": 1,
                "source": {"topic": _TOPIC, "partition": partition, "offset": offset, "timestamp_ms": received_at_ms},
                "model": self._model(),
                "timing": {"received_at_ms": received_at_ms, "classified_at_ms": round(time.time() * 1000)},
                "result_id": f"{_TOPIC}/{partition}/{offset}/{index}",
                "request_id": request_id,
                "item": {"index": index, "count": len(outcomes), "name": _name(outcome, name)},
                "status": reading.status if reading else "failed",
                "digit": reading.digit if reading else None,
                "confidence": reading.confidence if reading else None,
                "probabilities": reading.probabilities if reading else None,
                "reason": reading.reason if reading else None,
                "error": {"code": error.code, "message": str(error)} if error else None,
            }
            if outcome.seen is not None:
                result["seen"] = base64.b64encode(outcome.seen).decode()
            Result.model_validate_json(msgspec.json.encode(result), strict=True)
            results.append(result | {"partition": partition, "offset": 2 * offset + index})
        return results

    def _model(self) -> dict[str, str]:
        info = self._classifier.info
        return {"name": info.name, "version": info.version, "sha256": info.sha256}


def _name(outcome: Outcome, name: str) -> str | None:
    return name if outcome.of == "image" else outcome.name
