"""Disagreements, and records of their topic."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from contract.disagreements import Disagreement, ModelAnswer
from contract.records import ModelVersion


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
