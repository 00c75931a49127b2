"""The engine alone, as the measure of what the service spends around it.

One process reads the images in batches of the size that a worker gets, with the environment of a worker, and nothing
before or after the engine: no Kafka, no results.

Run by `benchmarks.drain` as a process of its own, which has the machine to itself while it runs.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Final

import msgspec

from consumer.settings import PacingSettings
from consumer.workers.processes.spawning import ENVIRONMENT
from engine.limits import Limits
from engine.model.classifier import Classifier
from engine.reader import Reader
from models import default_model

BATCH: Final = PacingSettings().chunk_records


def keep(images: list[bytes], file: Path) -> None:
    """Write images to a file, for `measure`."""
    file.write_bytes(msgspec.msgpack.encode(images))


async def measure(file: Path) -> float:
    """Read the images of a file that `keep` has written; return µs of processor time an image, without the start."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.engine_alone", str(file)),
        env=os.environ | ENVIRONMENT,
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f"the engine ended with exit code {process.returncode}")
    return float(json.loads(output)["cpu_us_per_image"])


def cpu_us_per_image(reader: Reader, images: list[bytes]) -> float:
    """Read all images; return µs of processor time an image.

    Raises
    ------
    RuntimeError
        An image could not be read: a failure costs less than a reading.
    """
    batches = [images[first : first + BATCH] for first in range(0, len(images), BATCH)]
    began_s, read = time.process_time(), 0
    for batch in batches:
        read += sum(each.reading is not None for outcomes in reader.read(batch) for each in outcomes)
    spent_s = time.process_time() - began_s
    if read != len(images):
        raise RuntimeError(f"{len(images) - read} of {len(images)} images could not be read")
    return spent_s / len(images) * 1e6


def main(file: Path) -> None:
    """Read the images of a file and print what it cost."""
    images = msgspec.msgpack.decode(file.read_bytes(), type=list[bytes])
    reader = Reader(Classifier.load(default_model()), Limits())
    reader.warm_up()
    reader.read(images[:BATCH])
    print(json.dumps({"cpu_us_per_image": cpu_us_per_image(reader, images)}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
