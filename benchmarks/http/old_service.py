"""The old design, as the measure of what the stream gains: FastAPI, scikit-image's HOG and scikit-learn's SVC.

It is as fast as that plan allows: one process for each core, uvicorn with uvloop and httptools, endpoints in FastAPI's
thread pool, and one call of the classifier for all images of an archive.

Arguments: the file of the classifier, and the port. Run by `benchmarks.http.servers` as a program of its own.
"""

from __future__ import annotations

import io
import os
import sys
import warnings
import zipfile
from functools import lru_cache
from typing import Annotated, Any, Final

import joblib
import numpy as np
import uvicorn
from fastapi import FastAPI, UploadFile
from fastapi.params import File
from PIL import Image

from benchmarks.baseline_svc import features
from broker.probe import HOST

CLASSIFIER: Final = "OLD_SERVICE_CLASSIFIER"
"""The environment variable with the classifier's file: uvicorn gives its processes no arguments."""
START_S: Final = 240
app = FastAPI()


@lru_cache(maxsize=1)
def classifier() -> Any:
    """Load the classifier, once in each process."""
    return joblib.load(os.environ[CLASSIFIER])


def classify(images: list[bytes]) -> list[dict[str, Any]]:
    """Read images."""
    digits = [features(np.asarray(Image.open(io.BytesIO(image)).convert("L"))) for image in images]
    answers = []
    for probabilities in classifier().predict_proba(np.stack(digits)):
        best = int(probabilities.argmax())
        shares = probabilities.tolist()
        answers.append({"digit": best, "confidence": shares[best], "probabilities": shares})
    return answers


@app.post("/predict")
def predict(file: Annotated[UploadFile, File()]) -> dict[str, Any]:
    """Read one image."""
    return classify([file.file.read()])[0]


@app.post("/predict_batch")
def predict_batch(file: Annotated[UploadFile, File()]) -> list[dict[str, Any]]:
    """Read the images of a zip archive."""
    with zipfile.ZipFile(file.file) as archive:
        return classify([archive.read(name) for name in archive.namelist()])


@app.get("/health")
def health() -> dict[str, str]:
    """Answer when the classifier is loaded."""
    classifier()
    return {"status": "ok"}


if __name__ == "__main__":
    warnings.filterwarnings("ignore", category=FutureWarning)
    os.environ[CLASSIFIER] = sys.argv[1]
    uvicorn.run(
        "benchmarks.http.old_service:app",
        host=HOST,
        port=int(sys.argv[2]),
        workers=os.cpu_count(),
        access_log=False,
        log_level="warning",
        timeout_worker_healthcheck=START_S,  # by default a process that imports for 5 s is killed and started again
    )
