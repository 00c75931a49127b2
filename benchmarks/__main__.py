"""``python -m benchmarks``: measure, print a table, write the figures down."""

from __future__ import annotations

import json
import logging
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import typer
import uvloop
from rich.console import Console

from benchmarks import (
    baseline_svc,
    challenger,
    compilation,
    drain,
    exchange,
    flood,
    idle,
    large_records,
    latency,
    network,
    partitions,
    recovery,
    report,
    unwritable,
)
from benchmarks.digits import as_png, read_pixels
from benchmarks.http import comparison
from broker import running_broker
from tests.harness.images import drawn_digits

RATES = [100, 1_000]
"""Images per second at which latency is measured."""

EXIT_MISSED: Final = 1

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
console = Console(stderr=True)


class What(StrEnum):
    """The benchmarks, in the order in which they run."""

    COMPILE = "compile"
    IDLE = "idle"
    LATENCY = "latency"
    PARTITIONS = "partitions"
    MEMORY = "memory"
    DRAIN = "drain"
    FLOOD = "flood"
    EXCHANGE = "exchange"
    CHALLENGER = "challenger"
    NETWORK = "network"
    RECOVERY = "recovery"
    UNWRITABLE = "unwritable"
    HTTP = "http"


WITHOUT_MNIST = {
    What.COMPILE,
    What.PARTITIONS,
    What.MEMORY,
    What.FLOOD,
    What.EXCHANGE,
    What.CHALLENGER,
    What.NETWORK,
    What.RECOVERY,
    What.UNWRITABLE,
}
WITH_SVC = {What.DRAIN, What.HTTP}
ON_ONE_BROKER = {What.IDLE, What.LATENCY, What.DRAIN, What.FLOOD, What.EXCHANGE, What.CHALLENGER, What.NETWORK}


@app.command()
def run(
    *,
    what: Annotated[list[What] | None, typer.Argument(help="Which benchmarks; by default all.")] = None,
    mnist: Annotated[Path | None, typer.Option(help="Folder of MNIST's two IDX files of training digits.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all figures to this file.")] = None,
    images: Annotated[int, typer.Option(min=1_000, help="Images of a round of a backlog.")] = 100_000,
    rounds: Annotated[int, typer.Option(min=1, help="How often each of the others is repeated; medians count.")] = 5,
    seconds: Annotated[
        float, typer.Option(min=1, help="latency, idle, partitions, http: time of each measurement.")
    ] = 30,
    partition_counts: Annotated[
        list[int] | None, typer.Option("--partitions", min=1, help="partitions: numbers of partitions [8, 64, 256].")
    ] = None,
    partition_rounds: Annotated[
        int, typer.Option(min=1, help="partitions: rounds of all numbers, of which the median counts.")
    ] = 1,
    large_partitions: Annotated[
        int, typer.Option(min=1, help="memory: partitions with records of 16 MiB.")
    ] = large_records.PARTITIONS,
    large: Annotated[int, typer.Option("--large-records", min=1, help="memory: records of each partition.")] = 2,
) -> None:
    """Measure the running service on a real Kafka, both on this machine, with the default settings.

    compile: processor time that compiling takes at the engine's first start, without Kafka. idle: processor and
    memory while there is nothing to do. latency: from producing an image to a read_committed reader. partitions: start,
    idle processor time, latency and memory with 8, 64 and 256 partitions. memory: the peak while every partition has
    records of 16 MiB. drain: images per second through a backlog, against the loop one would write by hand, and the
    processor time of an image, against the engine alone. flood: what the worst records on one partition leave to the
    traffic of another. exchange: how long results pause while two instances exchange the model. recovery: from a kill
    to the first results. unwritable: the rate of all partitions but one whose results cannot be written. challenger:
    what is left of the rate with the same model as challenger. network: the rate with the convolutional network, beside
    that with the default model. http: the HTTP server and the service against a model in the request, and what it does
    at ten times its load. Only idle, latency, drain and http need MNIST. flood, exchange, challenger, network,
    recovery, unwritable and http have bars: the exit code is 1 if one is missed.
    """
    logging.getLogger("aiokafka").setLevel(logging.ERROR)  # it logs each attempt until new topics have leaders
    wanted = what or list(What)
    files, machine = drawn_digits(200), None
    if mnist is not None:
        pixels, _ = read_pixels(mnist)
        files = as_png(np.random.default_rng(0).permutation(pixels))
        machine = baseline_svc.trained(mnist, console) if WITH_SVC.intersection(wanted) else None
    elif not WITHOUT_MNIST.issuperset(wanted):
        raise typer.BadParameter("give the folder of train-images-idx3-ubyte.gz and its labels", param_hint="--mnist")
    measured: dict[str, Any] = {"machine": report.machine()}
    if What.COMPILE in wanted:
        measured["compile"] = compilation.measure(console=console)
    if ON_ONE_BROKER.intersection(wanted):
        backlog = [files[number % len(files)] for number in range(images)]
        measured |= _on_one_broker(wanted, files, backlog, machine=machine, rounds=rounds, seconds=seconds)
    if What.PARTITIONS in wanted:
        counts = partition_counts or list(partitions.COUNTS)
        measured["partitions"] = _by_partitions(files, counts, rounds=partition_rounds, seconds=seconds)
    if What.MEMORY in wanted:
        with running_broker() as one:
            measured["memory"] = uvloop.run(
                large_records.measure(one, partitions=large_partitions, records=large, console=console)
            )
    measured |= _on_three_brokers(wanted, files, images=images, rounds=rounds)
    if What.HTTP in wanted and machine is not None:
        with running_broker() as one:
            compared = comparison.compare(
                one, files[:2_000], svc=machine, rounds=rounds, seconds=seconds, console=console
            )
            measured["http"] = uvloop.run(compared)
    Console().print(report.table(measured))
    if json_file is not None:
        json_file.write_text(json.dumps(measured, indent=2) + "\n")
    missed = list(report.misses(measured))
    for each in missed:
        console.print(f"missed: {each}", style="red")
    raise typer.Exit(EXIT_MISSED if missed else 0)


def _by_partitions(files: list[bytes], counts: list[int], *, rounds: int, seconds: float) -> dict[str, Any]:
    """Measure all numbers of partitions in each round, and return the medians of the rounds by number."""
    taken: dict[str, list[dict[str, Any]]] = {str(count): [] for count in counts}
    for _ in range(rounds):
        for count in dict.fromkeys(counts):
            with running_broker() as fresh:
                figures = partitions.measure(
                    fresh, files[:2_000], partitions=count, rates=RATES, seconds=seconds, console=console
                )
                taken[str(count)].append(uvloop.run(figures))
    return {count: report.medians(each) | {"rounds": each} for count, each in taken.items()}


def _on_one_broker(
    wanted: list[What], files: list[bytes], backlog: list[bytes], *, machine: Path | None, rounds: int, seconds: float
) -> dict[str, Any]:
    """Run those of the wanted benchmarks that share a broker."""
    measured: dict[str, Any] = {}
    with running_broker(properties={"log.message.timestamp.type": "LogAppendTime"}) as cluster:
        if What.IDLE in wanted:
            measured["idle"] = uvloop.run(idle.measure(cluster, files[:2_000], seconds=seconds, console=console))
        if What.LATENCY in wanted:
            measured["latency"] = uvloop.run(
                latency.measure(cluster, files, rates=RATES, seconds=seconds, console=console)
            )
        if What.FLOOD in wanted:
            measured["flood"] = uvloop.run(flood.measure(cluster, backlog, rounds=rounds, console=console))
        if What.EXCHANGE in wanted:
            measured["exchange"] = uvloop.run(exchange.measure(cluster, files[:2_000], rounds=rounds, console=console))
        if What.CHALLENGER in wanted:
            figures = challenger.measure(cluster, backlog, rounds=rounds, console=console)
            measured["challenger"] = uvloop.run(figures)
        if What.NETWORK in wanted:
            measured["network"] = uvloop.run(network.measure(cluster, backlog, rounds=rounds, console=console))
        if What.DRAIN in wanted and machine is not None:
            measured["drain"] = uvloop.run(drain.measure(cluster, backlog, svc=machine, rounds=rounds, console=console))
    return measured


def _on_three_brokers(wanted: list[What], files: list[bytes], *, images: int, rounds: int) -> dict[str, Any]:
    """Run those of the wanted benchmarks in which brokers die, each on brokers of its own."""
    measured: dict[str, Any] = {}
    if What.RECOVERY in wanted:
        with running_broker(nodes=3) as three:
            measured["recovery"] = uvloop.run(recovery.measure(three, rounds=rounds, console=console))
    if What.UNWRITABLE in wanted:
        backlog = [files[number % len(files)] for number in range(images)]
        with running_broker(nodes=3) as three:
            measured["unwritable"] = uvloop.run(unwritable.measure(three, backlog, rounds=rounds, console=console))
    return measured


if __name__ == "__main__":
    app()
