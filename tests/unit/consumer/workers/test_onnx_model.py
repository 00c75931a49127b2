"""Workers read with a model in ONNX, within the same limits as with any other."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from onnx.helper import make_node

from tests.harness.images import zipped
from tests.harness.onnx_models import DIGITS, EXPORTED_BY_JAX, WEIGHTS, answers, imported, network, replaced
from tests.harness.processes import resource_limits, workers_of
from tests.harness.worker_pool import running_pool
from transport.errors import InvalidSettingError, leaf_exceptions

MEMORY_BYTES = 256 * 1024 * 1024


def thread_count(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


async def test_a_harmful_model_stops_the_start_and_is_named(tmp_path: Path) -> None:
    model = network()
    imported(model, tmp_path)
    model.graph.node[0].op_type = "NonZero"
    replaced(tmp_path / "model", model.SerializeToString())
    with pytest.raises(BaseExceptionGroup) as caught:
        async with running_pool(model=tmp_path / "model"):
            pytest.fail("it started")
    wrong = leaf_exceptions(caught.value)[0]
    assert isinstance(wrong, InvalidSettingError)
    assert str(wrong).startswith(f"DIGITS_MODEL='{tmp_path / 'model'}': ")
    assert str(wrong).endswith("it has operators that are not allowed: NonZero")


async def test_workers_answer_with_the_probabilities_of_the_framework_within_their_limits(tmp_path: Path) -> None:
    model = imported(EXPORTED_BY_JAX.read_bytes(), tmp_path)
    payloads = [path.read_bytes() for path in DIGITS]
    archive = zipped([(path.name, path.read_bytes()) for path in DIGITS])
    async with running_pool(model=tmp_path / "model", memory_bytes=MEMORY_BYTES) as pool:
        results = await pool.results([*payloads, archive])
        limits = [resource_limits(pid)["Max address space"] for pid in workers_of(os.getpid())]
        threads = [thread_count(pid) for pid in workers_of(os.getpid())]
        restarts = pool.restarts
    expected = np.array([*answers(EXPORTED_BY_JAX).values()] * 2)
    assert np.array([result.probabilities for result in results]) == pytest.approx(expected, abs=1e-4)
    assert {(result.model.name, result.model.sha256) for result in results} == {("mine", model.info.sha256)}
    assert all("unlimited" not in limit for limit in limits)
    assert max(threads) <= 3, "its own, the one that watches the parent, and one that waits in onnxruntime"
    assert restarts == 0


async def test_a_model_with_results_of_the_largest_size_stays_within_the_memory_of_a_worker(tmp_path: Path) -> None:
    nodes = [make_node("Unsqueeze", ["x", "two"], ["a"])]
    nodes += [make_node("Expand", ["a", "sizes"], ["b0"])]
    nodes += [make_node("Sigmoid", [f"b{i}"], [f"b{i + 1}"]) for i in range(2)]  # each result has 15 MiB
    nodes += [make_node("ReduceMax", ["b2"], ["c"], axes=[2], keepdims=0), make_node("MatMul", ["c", "w"], ["y"])]
    imported(network(nodes, {"two": np.array([2]), "sizes": np.array([1, 1, 5_000]), "w": WEIGHTS}), tmp_path)
    async with running_pool(model=tmp_path / "model", memory_bytes=MEMORY_BYTES, item_timeout_s=120) as pool:
        results = await pool.results([path.read_bytes() for path in DIGITS[:4]])
        assert [result.error for result in results] == [None] * 4
        assert pool.restarts == 0
