"""The service with a model in ONNX, on a real broker."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness.onnx_models import DIGITS, EXPORTED, answers, imported
from tests.harness.service import running_service
from tests.harness.topics import Broker, position


async def test_results_name_the_model_in_onnx_and_have_its_probabilities(broker: Broker, tmp_path: Path) -> None:
    model = imported(EXPORTED.read_bytes(), tmp_path)
    sent = await broker.send([path.read_bytes() for path in DIGITS])
    async with running_service(broker, {"DIGITS_MODEL": str(tmp_path / "model")}) as service:
        await broker.everything_answered()
        assert (await service.health())["model"]["sha256"] == model.info.sha256
    results = {position(result): result for result in await broker.results()}
    assert len(results) == len(DIGITS)
    for path, place in zip(DIGITS, sent, strict=True):
        assert results[place].probabilities == pytest.approx(answers(EXPORTED)[path.name], abs=1e-4)
        assert results[place].model.sha256 == model.info.sha256
