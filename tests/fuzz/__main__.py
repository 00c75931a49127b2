"""``make fuzz ARGS="--minutes N"``, or ``python -m tests.fuzz FILE…`` to look at findings again."""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from consumer.workers.processes.spawning import ENVIRONMENT
from tests.data.hostile import file_name, payloads
from tests.fuzz.judge import Judge

HERE: Final = Path(__file__).parent
DIGITS: Final = HERE.parent / "data"
FOLDER: Final = Path(".digitstream") / "fuzz"
SEED_MAX_BYTES: Final = 20_000
"""Larger cases would only slow the fuzzer down; they are tested by themselves."""
OPTIONS: Final = (
    "-timeout=10",  # seconds: a hang; the service's own item timeout
    "-rss_limit_mb=2048",  # of fuzzer and engine together; a payload's own limit is set in the process
    "-max_len=65536",
    f"-dict={HERE / 'formats.dict'}",
    "-print_final_stats=1",
    "-report_slow_units=5",
    "-reload=0",
)
FINDINGS: Final = re.compile(r"(crash|timeout|oom|leak)-")
EXIT_FOUND: Final = 1


def main() -> None:
    """Fuzz for a while, or judge the files that are named."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("files", nargs="*", type=Path, help="findings to look at again; needs no fuzzer")
    parser.add_argument("--minutes", type=float, default=1.0, help="how long to fuzz (default 1)")
    parser.add_argument("--folder", type=Path, default=FOLDER, help=f"of corpus and findings (default {FOLDER})")
    parser.add_argument("--seed", type=int, default=0, help="of libFuzzer; 0 takes another one each time")
    arguments = parser.parse_args()
    if arguments.files:
        look_again(arguments.files)
    elif importlib.util.find_spec("atheris") is None:
        sys.exit("atheris is not installed: requirements/test.in says for which machines it has wheels")
    else:
        sys.exit(fuzz(arguments.folder, seconds=arguments.minutes * 60, seed=arguments.seed))


def look_again(files: list[Path]) -> None:
    """Judge files one by one; a finding raises what it raised when it was found."""
    judge = Judge()
    judge.limit_memory()
    for file in files:
        started_s = time.perf_counter()
        ends = judge(file.read_bytes())
        print(f"{file}: {', '.join(ends[:20])} in {time.perf_counter() - started_s:.2f} s")


def fuzz(folder: Path, *, seconds: float, seed: int) -> int:
    """Fuzz until the time is over, also after a finding; report; return the exit code."""
    corpus, findings = folder / "corpus", folder / "findings"
    for each in (corpus, findings):
        each.mkdir(parents=True, exist_ok=True)
    before = found_in(findings)
    plant(corpus)
    deadline = time.monotonic() + seconds
    executions = coverage = 0
    with (folder / "log").open("wb") as log:
        while (left := round(deadline - time.monotonic())) > 0:
            command = [sys.executable, "-m", "tests.fuzz.fuzzer", str(corpus), *OPTIONS, f"-seed={seed}"]
            command += [f"-artifact_prefix={findings}/", f"-max_total_time={left}"]
            start = log.tell()
            ended = subprocess.run(command, stdout=log, stderr=log, env=os.environ | ENVIRONMENT, check=False)
            log.seek(0, 2)
            said = (folder / "log").read_bytes()[start:].decode(errors="replace")
            executions += last_number(r"stat::number_of_executed_units:\s*(\d+)", said) or last_number(r"^#(\d+)", said)
            coverage = max(coverage, last_number(r"\bcov: (\d+)", said))
            if ended.returncode and found_in(findings) == before:
                print(said[-2_000:], file=sys.stderr)
                return EXIT_FOUND
    new = sorted(found_in(findings) - before)
    print(f"{executions:,} executions, {coverage:,} branches of Python covered, {len(new)} findings")
    for file in new:
        print(f"{file}: look at it again by {sys.executable} -m tests.fuzz {file}")
    return EXIT_FOUND if new else 0


def plant(corpus: Path) -> None:
    """Write the seeds: the hostile corpus and real digits."""
    for name, case in payloads().items():
        if case.value and len(case.value) <= SEED_MAX_BYTES:
            (corpus / file_name(name)).write_bytes(case.value)
    for file in [*sorted((DIGITS / "digits").iterdir()), DIGITS / "digits.zip", DIGITS / "photo_7.jpg"]:
        (corpus / file.name).write_bytes(file.read_bytes())


def found_in(findings: Path) -> set[Path]:
    """List what is saved there."""
    return {file for file in findings.iterdir() if FINDINGS.match(file.name)}


def last_number(pattern: str, text: str) -> int:
    """Return the last number that a pattern finds; 0 if there is none."""
    numbers = re.findall(pattern, text, re.MULTILINE)
    return int(numbers[-1]) if numbers else 0


if __name__ == "__main__":
    main()
