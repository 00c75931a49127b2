"""The loop one would write by hand, as the measure of what the service gains.

One aiokafka consumer with its defaults, Pillow, scikit-image's HOG and scikit-learn's SVC, one image at
a time, each answer sent as soon as it is there. It is as fast as that plan allows: a single call gives
digit and confidence, and no acknowledgement is waited for before the end.

Run by `benchmarks.drain` as a process of its own, which has the machine to itself while it runs.
"""

from __future__ import annotations

import asyncio
import io
import json
import sys
import time
import uuid
from typing import Any

import joblib
import numpy as np
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from PIL import Image

from benchmarks.baseline_svc import features


def classify(machine: Any, image: bytes) -> bytes:
    """Read one image and encode the answer."""
    digit = np.asarray(Image.open(io.BytesIO(image)).convert("L"))
    probabilities = machine.predict_proba(features(digit)[None])[0]
    best = int(probabilities.argmax())
    answer = {"digit": best, "confidence": float(probabilities[best]), "probabilities": probabilities.tolist()}
    return json.dumps(answer).encode()


async def drain(machine: Any, bootstrap_servers: str, requests: str, answers: str, count: int) -> float:
    """Answer `count` requests; return images per second, from the second to the last one acknowledged."""
    consumer = AIOKafkaConsumer(
        requests, bootstrap_servers=bootstrap_servers, group_id=f"rival-{uuid.uuid4()}", auto_offset_reset="earliest"
    )
    async with consumer, AIOKafkaProducer(bootstrap_servers=bootstrap_servers) as producer:
        classify(machine, (await consumer.getone()).value)  # has joined the group, has imported what is imported late
        began = time.monotonic()
        for _ in range(count):
            record = await consumer.getone()
            await producer.send(answers, classify(machine, record.value), key=record.key)
        await producer.flush()
        return count / (time.monotonic() - began)


if __name__ == "__main__":
    svc, bootstrap_servers, requests, answers, count = sys.argv[1:]
    print(asyncio.run(drain(joblib.load(svc), bootstrap_servers, requests, answers, int(count))))
