"""Disagreements, and records of their topic."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from contract.disagreements import Disagreement, ModelAnswer
from contract.records import ModelVersion
from engine.limits import Limits
from engine.model.classifier import Classifier
from engine.reader import Reader
from models import default_model
from tests.harness.images import drawn_digits


def model_answer(version: str, digit: int, status: Any = "recognised") -> ModelAnswer:
    """Give an answer of a version of a model."""
    reason = None if status == "recognised" else "low-confidence"
    model = ModelVersion(name="digits", version=version, sha256=version * 64)
    return ModelAnswer(status=status, digit=digit, confidence=0.5, reason=reason, model=model)


def disagreement(offset: int = 0, *, name: str | None = None, **answers: ModelAnswer) -> Disagreement:
    """Give a disagreement: version 1 has read a 7, version 2 a 1."""
    return Disagreement(
        result_id=f"requests/3/{offset}/0",
        request_id="mine",
        topic="requests",
        partition=3,
        offset=offset,
        item_index=0,
        item_name=name,
        **({"champion": model_answer("1", 7), "challenger": model_answer("2", 1)} | answers),
    )


def record(of: Disagreement, picture: bytes) -> Any:
    """Give it as a reader of its topic gets it."""
    return SimpleNamespace(value=picture, headers=of.headers(), timestamp=1_000)


def disputed_digit(folder: Path) -> bytes:
    """Give a drawn digit that the model in a folder recognises as another one than the shipped model does."""
    digits = drawn_digits(500)
    models = (Classifier.load(default_model()), Classifier.load(folder))
    ours, theirs = (Reader(model, Limits()).read(digits) for model in models)
    for digit, (one,), (other,) in zip(digits, ours, theirs, strict=True):
        seen = {each.reading.digit for each in (one, other) if each.reading and each.reading.status == "recognised"}
        if len(seen) == 2:
            return digit
    raise AssertionError("the models read all digits alike")
