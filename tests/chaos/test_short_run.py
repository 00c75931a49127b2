"""The two-minute version of ``make chaos``, as a person runs it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path

import pytest

from broker import Cluster
from tests.chaos.plan import Kind

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SEED = "1"


async def start(folder: Path, *arguments: str) -> Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.chaos", "--seed", SEED, "--folder", str(folder), *arguments),
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(folder)},
        stdout=PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.timeout(1_300)  # 140 s on two quiet cores; a busy machine takes several times as long
async def test_two_minutes_of_chaos_end_with_a_clean_audit(cluster: Cluster, tmp_path: Path) -> None:
    del cluster  # where Kafka is not installed, it has skipped the test
    process = await start(tmp_path, "--minutes", "2")
    said = (await process.communicate())[0].decode()
    assert process.returncode == 0, said
    data = json.loads((tmp_path / "chaos-report.json").read_text())
    assert data["clean"]
    assert all(each["happened"] >= 1 for each in data["faults"].values())
    assert data["faults"].keys() == set(Kind)
    # A request without an acknowledgement may have been written all the same; each has an image at least.
    doubtful = data["audit"]["requests"] - data["requests"]
    assert data["audit"]["results"] >= data["images"] + doubtful >= data["images"] > 0
    assert doubtful or data["audit"]["results"] == data["images"]
    assert (tmp_path / "chaos-report.png").stat().st_size > 0


@pytest.mark.timeout(600)
async def test_an_interrupted_run_leaves_no_processes_or_folders(cluster: Cluster, tmp_path: Path) -> None:
    del cluster
    process = await start(tmp_path)
    assert process.stdout is not None
    async with asyncio.timeout(400):
        while b"killed" not in await process.stdout.readline():  # it is in full swing
            pass
    process.send_signal(signal.SIGINT)
    await process.communicate()
    assert process.returncode == 130
    assert left_in(tmp_path) == []
