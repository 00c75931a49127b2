"""Models of scikit-learn in the service's workers, without Kafka: from the import to results."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from tests.harness.processes import threads_of, workers_of
from tests.harness.trained import decided, digits, imported, trained
from tests.harness.worker_pool import running_pool


async def test_workers_answer_with_the_digits_and_probabilities_of_an_imported_model(tmp_path: Path) -> None:
    estimator = make_pipeline(StandardScaler(), CalibratedClassifierCV(LinearSVC(max_iter=20), cv=2))
    classifier = imported(trained(estimator), tmp_path)
    pictures = digits()[1].pictures[:100]
    expected = decided(classifier, pictures)
    assert expected.labels.tolist() == estimator.predict(digits()[1].pixels[:100]).tolist()
    async with running_pool(model=tmp_path / "model") as pool:
        results = await pool.results([bytes(cv2.imencode(".png", picture)[1]) for picture in pictures])
        threads = [threads_of(pid) for pid in workers_of(os.getpid())]
    assert [result.model.sha256 for result in results] == [classifier.info.sha256] * 100
    assert [result.digit for result in results] == expected.labels.tolist()
    assert [result.probabilities for result in results] == [
        pytest.approx(row, abs=5.1e-5) for row in expected.probabilities.tolist()
    ]
    assert threads == [2, 2], "each has its own thread, and the one that waits for the end of the service"
