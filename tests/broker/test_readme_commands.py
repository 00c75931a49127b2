"""The shell blocks of the README work when they are pasted whole."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
from asyncio.subprocess import PIPE, STDOUT
from pathlib import Path
from typing import Final

import pytest

from broker.ports import free_ports
from tests.harness.markdown import shell_block

ROOT: Final = Path(__file__).parents[2]
README: Final = (ROOT / "README.md").read_text(encoding="utf-8")
HEADINGS: Final = ("Two commands", "Run it", "Run it in containers", "From another language")
BASH: Final = shutil.which("bash") or "bash"
MAKE: Final = shutil.which("make") or "make"
ENDS_ALL: Final = "trap 'kill $(jobs -p); wait' EXIT\n"


@pytest.mark.parametrize("heading", HEADINGS)
def test_a_shell_understands_the_block(heading: str) -> None:
    checked = subprocess.run([BASH, "-n"], input=shell_block(README, heading), text=True, check=False)
    assert checked.returncode == 0


@pytest.mark.parametrize("heading", HEADINGS)
def test_every_target_of_make_that_a_block_names_exists(heading: str) -> None:
    for target in re.findall(r"\bmake ([a-z-]+)", shell_block(README, heading)):
        subprocess.run([MAKE, "--dry-run", target], cwd=ROOT, capture_output=True, check=True)


@pytest.mark.slow
@pytest.mark.timeout(600)  # on a first run the loops are compiled
async def test_the_block_that_runs_the_service_works_when_it_is_pasted_whole() -> None:
    kafka_port, health_port = free_ports(2)
    blocks = shell_block(README, "Run it")
    if shutil.which("kcat"):
        blocks += shell_block(README, "From another language")
    blocks = blocks.replace("9092", str(kafka_port)).replace("8080", str(health_port))
    # Its own tests run `make demo`. From standard input, as a terminal has it: a command that reads it, takes the rest.
    script = f"{ENDS_ALL}make() {{ :; }}\n{blocks}"
    outside = {name: value for name, value in os.environ.items() if not name.startswith("DIGITS_")}
    process = await asyncio.create_subprocess_exec(
        *(BASH, "-e", "-s"),
        cwd=ROOT,
        stdin=PIPE,
        stdout=PIPE,
        stderr=STDOUT,
        env=outside
        | {
            "DIGITS_KAFKA__BOOTSTRAP_SERVERS": f"localhost:{kafka_port}",
            "DIGITS_HEALTH__PORT": str(health_port),
            "DIGITS_KAFKA__WAIT_S": "120",  # on a busy machine Java starts for longer than the producer waits by itself
        },
    )
    output, _ = await process.communicate(script.encode())
    printed = output.decode()
    assert process.returncode == 0, printed
    assert len([line for line in printed.splitlines() if ".png" in line and "recognised" in line]) >= 40, printed
    assert "all is well" in printed
    assert '"state": "running"' in printed
